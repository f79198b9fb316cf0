"""Mutated messages at both ports of a real stack, beside questions whose right answers are known.

    python -m benchmarks.fuzz.rpcs [--messages N] [--seed N] [--workers N]

Exits 1 if one ended with a status that is none of ours (INTERNAL and UNKNOWN are none), was left without a word for
more than 2 s, twice, or was told of our insides; if a question was answered wrongly or not at all; or if the services
grew.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import secrets
import sys
import time
from collections import Counter

import heroserve
from benchmarks.ending import end_in_peace
from benchmarks.faults.traffic import Traffic
from benchmarks.faults.victims import resident_bytes
from benchmarks.fuzz.barrage import Barrage
from benchmarks.keys import ask_for_keys
from benchmarks.load.questions import Known, known_questions
from scripts.stack import Ports, Stack, running

_SCENES = 4
_QUESTIONS_A_SECOND = 1.0
_DEADLINE_S = 30.0
# By what all processes may grow once so many messages have been seen.
_GROWTH_MIB, _SETTLED = 256, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=6, help="messages at once")
    options = parser.parse_args()
    end_in_peace()
    key = secrets.token_hex(8)
    ask_for_keys(key)
    with running(Ports.free()) as stack:
        with heroserve.Client(f"localhost:{stack.ports.llm}", api_key=key) as client:
            known = known_questions(client, _SCENES)
        failed = asyncio.run(_run(stack, key, known, options))
    sys.exit(failed)


async def _run(stack: Stack, key: str, known: list[Known], options: argparse.Namespace) -> bool:
    ports = {"encoder": stack.ports.encoder, "llm": stack.ports.llm}
    barrage = Barrage(ports, key, hashlib.sha256(known[0].image).hexdigest(), options.seed)
    traffic = Traffic(f"localhost:{stack.ports.llm}", known, _QUESTIONS_A_SECOND, _DEADLINE_S, key=key)
    started = time.monotonic()
    settled = min(_SETTLED, options.messages // 2)
    before = _memory_mib(stack)
    try:
        async with traffic.flowing():
            await _send(barrage, range(settled), options.workers)
            before = _memory_mib(stack)
            await _send(barrage, range(settled, options.messages), options.workers)
    finally:
        # Of one that is broken off, too.
        grown = _memory_mib(stack) - before
        for status, count in barrage.statuses.most_common():
            print(f"{count:8} {status}")
        print(
            f"{barrage.statuses.total()} messages in {time.monotonic() - started:.0f} s; "
            f"slowest {barrage.slowest_s:.2f} s; the services grew from {before} by {grown} MiB",
            flush=True,
        )
    answers = Counter(asked.status for asked in traffic.asked)
    print(f"questions beside them: {dict(answers)}; slowest {max(a.seconds for a in traffic.asked):.1f} s")
    for line in barrage.bad[:50]:
        print("FAIL", line)
    for asked in [asked for asked in traffic.asked if asked.status != "OK"][:20]:
        print("FAIL a question:", asked.status, asked.details)
    return bool(barrage.bad) or set(answers) != {"OK"} or grown > _GROWTH_MIB


async def _send(barrage: Barrage, numbers: range, workers: int) -> None:
    todo = iter(numbers)
    await asyncio.gather(*(barrage.work(todo) for _ in range(workers)))


def _memory_mib(stack: Stack) -> int:
    return sum(resident_bytes(stack, service) for service in stack.services) >> 20


if __name__ == "__main__":
    main()
