"""An hour of everything: cached and new pictures, mutated messages, callers who leave or can't wait, bursts, faults.

    python -m benchmarks.faults.soak [--minutes 60] [--rate 3] [--messages 5] [--every 4] [--json FILE]

A line a minute, and one of JSON to the file: what became of questions and messages since the minute before, and the
memory of every kind of process. A fault comes every ``--every`` minutes. Exits 1 for what ``benchmarks.faults`` does,
but of memory the lines tell.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import heroserve
from benchmarks.ending import end_in_peace
from benchmarks.faults.census import resident_mib
from benchmarks.faults.leavers import leavers
from benchmarks.faults.process_faults import process_faults
from benchmarks.faults.redis_faults import redis_faults
from benchmarks.faults.row import FORBIDDEN
from benchmarks.faults.traffic import Traffic
from benchmarks.fuzz.barrage import Barrage
from benchmarks.keys import ask_for_keys
from benchmarks.load.questions import Known, known_questions
from scripts.redis_server import RedisServer
from scripts.stack import Ports, Stack

_SCENES = 12
_DEADLINE_S, _HURRIED_S = 30.0, 0.2
_BURST, _BURST_EVERY_S = 24, 45.0
_HOLD_S = 10.0
_SENDERS = 2
# As in production: what is new for ever can't all be kept.
_REDIS = {"maxmemory": "256mb", "maxmemory-policy": "allkeys-lfu"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=3, help="questions a second")
    parser.add_argument("--messages", type=float, default=5, help="mutated messages a second")
    parser.add_argument("--every", type=float, default=4, help="minutes between faults")
    parser.add_argument("--json", type=Path, help="file for a line a minute")
    options = parser.parse_args()
    end_in_peace()
    key = secrets.token_hex(8)
    ask_for_keys(key)
    with tempfile.TemporaryDirectory(prefix="heroserve-soak-") as folder:
        stack = Stack(Ports.free(), Path(folder))
        stack.redis = RedisServer(stack.ports.redis, stack.folder, _REDIS)
        try:
            stack.start()
            with heroserve.Client(f"localhost:{stack.ports.llm}", api_key=key) as client:
                known = known_questions(client, _SCENES)
            bad = asyncio.run(Soak(stack, key, known, options).run())
            logs = sum(file.stat().st_size for file in stack.folder.glob("*.log"))
            print(f"the services' logs have {logs >> 10} KiB")
        finally:
            stack.stop()
    for line in bad[:50]:
        print("FAIL", line)
    sys.exit(bool(bad))


class Soak:
    """One run."""

    def __init__(self, stack: Stack, key: str, known: list[Known], options: argparse.Namespace) -> None:
        target = f"localhost:{stack.ports.llm}"
        ports = {"encoder": stack.ports.encoder, "llm": stack.ports.llm}
        digest = hashlib.sha256(known[0].image).hexdigest()
        self._stack = stack
        self._options = options
        self._patient = Traffic(target, known, options.rate, _DEADLINE_S, key=key)
        self._hurried = Traffic(target, known, options.rate / 6, _HURRIED_S, key=key)
        self._barrage = Barrage(ports, key, digest, 1, pause_s=_SENDERS / options.messages, faulty=True)
        self._leavers = leavers(target, 1, 6 / options.rate, key)
        self._faults: list[str] = []
        self._told: Counter[str] = Counter()

    async def run(self) -> list[str]:
        """What should not have been, in words."""
        async with self._patient.flowing(), self._hurried.flowing():
            with self._leavers:
                numbers = itertools.count()
                others = [self._barrage.work(numbers) for _ in range(_SENDERS)] + [self._burst(), self._hurt()]
                tasks = [asyncio.create_task(other) for other in others]
                for minute in itertools.count(1):
                    await asyncio.sleep(min(60.0, 60 * (self._options.minutes - minute + 1)))
                    self._tell(minute)
                    if minute >= self._options.minutes:
                        break
                for task in tasks:
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(result, Exception):
                        raise result
        asked = [*self._patient.asked, *self._hurried.asked]
        return [f"{each.status} {each.details}" for each in asked if each.status in FORBIDDEN] + self._barrage.bad

    async def _burst(self) -> None:
        while True:
            await asyncio.sleep(_BURST_EVERY_S)
            self._patient.burst(_BURST)

    async def _hurt(self) -> None:
        for fault in itertools.cycle([*process_faults(), *redis_faults()]):
            await asyncio.sleep(60 * self._options.every)
            self._faults.append(fault.name)
            happening = fault.happens(self._stack)
            await asyncio.to_thread(happening.__enter__)
            await asyncio.sleep(_HOLD_S if fault.lasts else 0)
            await asyncio.to_thread(happening.__exit__, None, None, None)

    def _tell(self, minute: int) -> None:
        now = Counter(self._counts())
        fresh = {name: now[name] - self._told[name] for name in sorted(now) if now[name] > self._told[name]}
        self._told = now
        memory = resident_mib(self._stack)
        faults, self._faults = self._faults, []
        line: dict[str, Any] = {"minute": minute, "counts": fresh, "mib": memory, "faults": faults}
        recent = [a.seconds for a in self._patient.since(time.monotonic() - 90) if a.status == "OK"]
        line["slowest_s"] = round(max(recent, default=0.0), 1)
        print(f"{minute:3} {sum(memory.values())} MiB {fresh} slowest {line['slowest_s']} s {faults}", flush=True)
        if self._options.json:
            with contextlib.closing(self._options.json.open("a")) as file:
                file.write(json.dumps(line) + "\n")

    def _counts(self) -> dict[str, int]:
        counts = {f"message {status}": count for status, count in self._barrage.statuses.items()}
        for name, traffic in (("question", self._patient), ("hurried", self._hurried)):
            for status, count in Counter(asked.status for asked in traffic.asked if asked.status).items():
                counts[f"{name} {status}"] = count
        return counts


if __name__ == "__main__":
    main()
