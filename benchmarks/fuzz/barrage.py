"""Odd messages at both services, and what became of them."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np

from benchmarks.fuzz.files import seeds
from benchmarks.fuzz.headers import headers
from benchmarks.fuzz.messages import Messages
from benchmarks.fuzz.wire import Reply, WireCaller
from heroserve import methods

SLOW_S = 2.0
# Longer than any deadline that goes along.
_GIVE_UP_S = 20.0
_STATUSES = {code.value[0]: code.name for code in grpc.StatusCode}
# What one of ours means: the message, its headers, the service's state are told as what they are.
_OURS = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
}
# Nobody's business: where our code stands, and what it runs as.
_INSIDES = re.compile(r"Traceback|\.py\b|site-packages|\bpid=|0x[0-9a-f]{6}|ray::|Actor\(")
_NO_STATUS = "no status"
_SERVICES = ("encoder", "llm")


class Barrage:
    """Sends them and keeps count.

    Args:
        ports: gRPC's, of ``encoder`` and ``llm``.
        key: an API key that both take.
        known: digest of a picture that the encoder has cached.
        seed: messages are the same for the same one, whatever becomes of others.
        pause_s: of each worker, between two of its messages.
        faulty: the services are being hurt meanwhile, so UNAVAILABLE, nobody there and late words are no wonder.

    Attributes:
        statuses: how many ended how.
        bad: what should not have been, in words.
        slowest_s: the longest that one was left without a word.
    """

    def __init__(
        self, ports: dict[str, int], key: str, known: str, seed: int, *, pause_s: float = 0.0, faulty: bool = False
    ) -> None:
        self.statuses: Counter[str] = Counter()
        self.bad: list[str] = []
        self.slowest_s = 0.0
        self._ports = ports
        self._key = key
        self._known = known
        self._seed = seed
        self._pause_s = pause_s
        self._ours = _OURS | {"UNAVAILABLE", _NO_STATUS} if faulty else _OURS
        self._slow_s = _GIVE_UP_S / 2 if faulty else SLOW_S
        self._pictures = seeds(np.random.default_rng(seed))

    async def work(self, numbers: Iterator[int]) -> None:
        """Send one after the other; several workers may share the numbers."""
        callers = {service: WireCaller(port) for service, port in self._ports.items()}
        try:
            for number in numbers:
                await self._one(number, callers)
                await asyncio.sleep(self._pause_s)
        finally:
            for caller in callers.values():
                caller.close()

    async def _one(self, number: int, callers: dict[str, WireCaller]) -> None:
        random = np.random.default_rng((self._seed, number))
        messages = Messages(random, self._pictures, self._known)
        service = _SERVICES[number % 2]
        method = methods.ENCODE if service == "encoder" else methods.GENERATE
        data = messages.encode() if service == "encoder" else messages.generate()
        sent, sane = headers(random, service, self._key)
        # One in twenty knocks at the wrong door.
        at = service if random.random() < 0.95 else _SERVICES[1 - number % 2]
        reply = Reply()
        for _ in range(2):
            # Twice, if need be: a machine may be busy with others, a message is slow every time.
            try:
                reply = await callers[at].call(method.path, sent, data, _GIVE_UP_S)
            except (TimeoutError, asyncio.TimeoutError):
                callers[at].close()
                reply = Reply(details="nothing came", silent_s=_GIVE_UP_S)
            if reply.silent_s <= self._slow_s:
                break
        self._count(number, reply, data, sane=sane, where=f"{method.path} at {at} with {sent}")

    def _count(self, number: int, reply: Reply, data: bytes, *, sane: bool, where: str) -> None:
        status = _NO_STATUS if reply.status is None else _STATUSES.get(reply.status, str(reply.status))
        self.slowest_s = max(self.slowest_s, reply.silent_s)
        if not sane and status not in self._ours:
            # No handler has seen it: gRPC's own words, or none.
            self.statuses[f"{status}, of headers that HTTP/2 or gRPC forbids"] += 1
            return
        self.statuses[status] += 1
        wrong = "" if status in self._ours else f"{status} {reply.details}"
        wrong = wrong or (f"{status} after {reply.silent_s:.1f} s" if reply.silent_s > self._slow_s else "")
        wrong = wrong or (f"{status} tells {reply.details}" if _INSIDES.search(reply.details) else "")
        if wrong:
            folder, name = Path("build/fuzz"), hashlib.sha256(data).hexdigest()[:12]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            self.bad.append(f"number {number}, {folder / name}, {where}: {wrong[:300]}")
