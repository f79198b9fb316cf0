"""What callers who send too much cost the others: a real stack with an API key, honest questions beside each flood.

    python -m benchmarks.flood [--only NAME,NAME] [--rate 5] [--deadline 5]

Prints, for each flood, what became of it and of the honest questions meanwhile, and by how much the LLM service grew
at most.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

import heroserve
from benchmarks.ending import end_in_peace
from benchmarks.faults.traffic import Traffic
from benchmarks.faults.victims import resident_bytes
from benchmarks.fuzz.pieces import length, tagged
from benchmarks.fuzz.wire import WireCaller
from benchmarks.keys import ask_for_keys
from benchmarks.load.questions import Known, known_questions
from heroserve.methods import GENERATE
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from scripts.stack import Ports, Stack, running

_PATIENCE_S = 60.0
_LOOPERS, _LOOP_S = 300, 10.0

Flood = Callable[[int, str], Awaitable[Counter[str]]]


def parts(size: int) -> bytes:
    """A message of so many bytes, all of them empty texts of four."""
    empty = tagged(2, 2) + length(tagged(1, 2) + length(b""))
    return tagged(1, 2) + length(tagged(1, 0) + b"\x02" + empty * (size // len(empty)))


async def _sent(port: int, key: str, messages: list[bytes], *, zipped: bool = False) -> Counter[str]:
    """All at once, each over a connection of its own."""
    headers = [(b"application", b"llm"), (b"grpc-timeout", b"30S")]
    headers += [(b"authorization", b"Bearer " + key.encode())] if key else []
    headers += [(b"grpc-encoding", b"gzip")] if zipped else []

    async def one(message: bytes) -> str:
        caller = WireCaller(port)
        reply = await caller.call(GENERATE.path, headers, message, _PATIENCE_S, compressed=zipped)
        caller.close()
        named = {code.value[0]: code.name for code in grpc.StatusCode}
        return "no status" if reply.status is None else named[reply.status]

    return Counter(await asyncio.gather(*map(one, messages)))


async def _looped(port: int, key: str) -> Counter[str]:
    """Callers without a key, each with one call after the other."""
    end = time.monotonic() + _LOOP_S
    request = GenerateRequest(messages=[Message(role=Message.USER, parts=[Part(text="Go on")])]).SerializeToString()
    statuses: Counter[str] = Counter()

    async def loop(channel: grpc.aio.Channel) -> None:
        call: Any = channel.unary_stream(GENERATE.path)
        while time.monotonic() < end:
            try:
                async for _ in call(request, timeout=5):
                    pass
            except grpc.aio.AioRpcError as error:
                statuses[error.code().name] += 1

    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"localhost:{port}", options) for _ in range(10)]
    await asyncio.gather(*(loop(channels[number % 10]) for number in range(_LOOPERS)))
    for channel in channels:
        await channel.close()
    return statuses


FLOODS: dict[str, tuple[str, Flood]] = {
    "parts-4": ("4 MB of empty parts, with a key", lambda port, key: _sent(port, key, [parts(4_000_000)])),
    "parts-20": ("20 MB of empty parts, with a key", lambda port, key: _sent(port, key, [parts(20_000_000)])),
    "bodies": ("4 x 60 MB without a key", lambda port, key: _sent(port, "", [bytes(60_000_000)] * 4)),
    "gzip": (
        "30 kB of gzip, 30 MB of text, with a key",
        lambda port, key: _sent(port, key, [gzip.compress(tagged(9, 2) + length(bytes(30_000_000)))], zipped=True),
    ),
    "loopers": (f"{_LOOPERS} callers without a key, in loops", _looped),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(FLOODS), help=f"of {', '.join(FLOODS)}")
    parser.add_argument("--rate", type=float, default=5)
    parser.add_argument("--deadline", type=float, default=5)
    options = parser.parse_args()
    end_in_peace()
    key = secrets.token_hex(8)
    ask_for_keys(key)
    with running(Ports.free()) as stack:
        with heroserve.Client(f"localhost:{stack.ports.llm}", api_key=key) as client:
            known = known_questions(client, 4)
        print("| flood | became of it | s | honest questions | slowest s | grew by MiB |")
        print("| --- | --- | ---: | --- | ---: | ---: |", flush=True)
        for name in options.only.split(","):
            asyncio.run(_run(stack, key, known, *FLOODS[name], options))


async def _run(
    stack: Stack, key: str, known: list[Known], words: str, flood: Flood, options: argparse.Namespace
) -> None:
    traffic = Traffic(f"localhost:{stack.ports.llm}", known, options.rate, options.deadline, key=key)
    async with traffic.flowing():
        await asyncio.sleep(3)
        with _growth(stack) as grown:
            begun = time.monotonic()
            statuses = await flood(stack.ports.llm, key)
            spent = time.monotonic() - begun
            await asyncio.sleep(3)
    beside = traffic.since(begun)
    print(
        f"| {words} | {_told(statuses)} | {spent:.1f} | {_told(Counter(each.status for each in beside))} "
        f"| {max((each.seconds for each in beside if each.status == 'OK'), default=0.0):.2f} | {max(grown) >> 20} |",
        flush=True,
    )


@contextmanager
def _growth(stack: Stack) -> Iterator[list[int]]:
    """Bytes by which the LLM service has grown, four times a second."""
    before, grown = resident_bytes(stack, "llm"), [0]

    async def watch() -> None:
        while True:
            grown.append(await asyncio.to_thread(resident_bytes, stack, "llm") - before)
            await asyncio.sleep(0.25)

    watching = asyncio.ensure_future(watch())
    try:
        yield grown
    finally:
        watching.cancel()


def _told(statuses: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in statuses.most_common())


if __name__ == "__main__":
    main()
