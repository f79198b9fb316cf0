"""What a caller gets beside callers that ask without end: ``python -m benchmarks.load.fairness [--seconds 15]``.

A real stack on this machine with two API keys. Two callers of the one ask one question after the other, first alone,
then beside 64 of the other key, then beside 300 that have no key. Those never wait: who is refused asks at once again.
They are a process of their own, and share the machine's cores with the services, so rates compare within one run only.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

import heroserve
from benchmarks.ending import end_in_peace
from benchmarks.keys import ask_for_keys
from benchmarks.load.drive import Outcome, PlainCallers, closed_loop
from benchmarks.load.questions import Known, known_questions
from scripts.stack import Ports, running

_KEYS = {"polite": "polite-0123456789", "greedy": "greedy-0123456789", "none": ""}
_POLITE = 2
_SCENES = 12
# Until the others have filled what there is to fill.
_LEAD_S = 4.0


@dataclass(frozen=True)
class _Rivals:
    name: str
    key: str
    callers: int


_RIVALS = (
    _Rivals("nobody", "none", 0),
    _Rivals("64 of another key", "greedy", 64),
    _Rivals("300 of none", "none", 300),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default=15.0, type=float)
    parser.add_argument("--deadline", default=30.0, type=float)
    options = parser.parse_args()
    end_in_peace()
    ask_for_keys(_KEYS["polite"], _KEYS["greedy"])
    with running(Ports.free()) as stack:
        target = f"localhost:{stack.ports.llm}"
        with heroserve.Client(target, api_key=_KEYS["polite"]) as client:
            known = known_questions(client, _SCENES)
        with heroserve.Client(target, api_key=_KEYS["greedy"]) as client:
            known_questions(client, _SCENES)
        print(f"\n{_POLITE} callers, {options.seconds:g} s, {len(known)} questions about {_SCENES} cached pictures\n")
        print("| beside | answers/s | p50 s | p99 s | not answered | wrong | the others': answers/s | refused/s |")
        print("| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |", flush=True)
        for rivals in _RIVALS:
            _measure(target, known, rivals, options.seconds, options.deadline)


def _measure(target: str, known: Sequence[Known], rivals: _Rivals, seconds: float, deadline_s: float) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        # Until it is up, which takes a while.
        theirs = pool.apply(Outcome, (seconds,))
        if rivals.callers:
            end = time.time() + _LEAD_S + seconds
            others = pool.apply_async(_ask_on, (target, _KEYS[rivals.key], known, rivals.callers, end, deadline_s))
            time.sleep(_LEAD_S)
        mine = _ask_on(target, _KEYS["polite"], known, _POLITE, time.time() + seconds, deadline_s)
        if rivals.callers:
            theirs = others.get()
    failed = ", ".join(f"{count} {name}" for name, count in mine.failures.most_common()) or "none"
    print(
        f"| {rivals.name} | {mine.goodput:.1f} | {mine.percentile(0.5):.2f} | {mine.percentile(0.99):.2f} | {failed} | "
        f"{mine.wrong} | {theirs.goodput:.1f} | {theirs.failures.total() / theirs.seconds:.0f} |",
        flush=True,
    )


def _ask_on(target: str, key: str, known: Sequence[Known], callers: int, end: float, deadline_s: float) -> Outcome:
    """Closed loops until ``end`` by Unix time, in a process of any."""

    async def ask() -> Outcome:
        async with grpc.aio.insecure_channel(target) as channel:
            return await closed_loop(PlainCallers(channel, key), known, callers, end - time.time(), deadline_s)

    return asyncio.run(ask())


if __name__ == "__main__":
    main()
