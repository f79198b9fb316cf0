"""Faults under load: questions at a steady rate, and one thing after the other that goes wrong meanwhile.

    python -m benchmarks.faults [--only NAME,NAME] [--rate 4] [--deadline 30] [--seconds 90] [--hold 60] [--json FILE]

Right answers are recorded beforehand, with nothing else going on. Each fault is followed by recovery: the next one
comes when all questions of some seconds have been answered right and at once, or after ``--seconds``. Exits 1 if an
answer was wrong, a question ended with INTERNAL, UNKNOWN or nothing (2 s after its deadline), or it never became well.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import heroserve
from benchmarks.ending import end_in_peace
from benchmarks.faults.fault import Fault
from benchmarks.faults.folder_faults import VARIABLE, folder_faults, small_disk
from benchmarks.faults.process_faults import process_faults
from benchmarks.faults.redis_faults import redis_faults
from benchmarks.faults.row import HEAD, Row
from benchmarks.faults.service_faults import service_faults
from benchmarks.faults.traffic import Traffic
from benchmarks.faults.victims import resident_bytes
from benchmarks.load.questions import known_questions
from scripts.stack import Ports, Stack, running

_SCENES = 12
# Well for so long is well.
_SETTLED_S = 5.0
# A fault that lasts is there for so long at least.
_LEAST_HOLD_S = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of faults, comma-separated; --only=? lists them")
    parser.add_argument("--rate", default=4.0, type=float, help="questions a second")
    parser.add_argument("--deadline", default=30.0, type=float, help="of each question, in seconds")
    parser.add_argument("--seconds", default=90.0, type=float, help="longest to wait for a recovery")
    parser.add_argument("--hold", default=60.0, type=float, help="longest that a fault lasts, if nothing mends it")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    end_in_peace()
    with tempfile.TemporaryDirectory(prefix="heroserve-counts-") as folder, small_disk(Path(folder)) as own_disk:
        faults = _wanted(options.only, own_disk=own_disk)
        os.environ[VARIABLE] = folder
        with running(Ports.free()) as stack:
            rows = asyncio.run(_run(stack, faults, options))
    figures = json.dumps([dataclasses.asdict(row) for row in rows])
    print(f"\n{figures}")
    if options.json:
        options.json.write_text(figures)
    sys.exit(any(row.failed for row in rows))


def _wanted(only: str, *, own_disk: bool) -> list[Fault]:
    faults = [*process_faults(), *redis_faults(), *service_faults(), *folder_faults(own_disk=own_disk)]
    names = [name for name in only.split(",") if name]
    unknown = set(names) - {fault.name for fault in faults}
    if unknown:
        sys.exit(f"faults are {', '.join(fault.name for fault in faults)}; not {', '.join(sorted(unknown))}")
    return [fault for fault in faults if not names or fault.name in names]


async def _run(stack: Stack, faults: list[Fault], options: argparse.Namespace) -> list[Row]:
    target = f"localhost:{stack.ports.llm}"
    with heroserve.Client(target) as client:
        known = await asyncio.to_thread(known_questions, client, _SCENES)
    print(f"{len(known)} questions, {options.rate:g} a second, deadlines of {options.deadline:g} s\n")
    print(HEAD, flush=True)
    rows = []
    traffic = Traffic(target, known, options.rate, options.deadline)
    async with traffic.flowing():
        begun = time.monotonic()
        await traffic.until_well(2 * _SETTLED_S, options.seconds)
        rows.append(await _row(stack, traffic, "none", "nothing", begun))
        for fault in faults:
            rows.append(await _one(stack, traffic, fault, options))
    return rows


async def _one(stack: Stack, traffic: Traffic, fault: Fault, options: argparse.Namespace) -> Row:
    moment = time.monotonic()
    happening = fault.happens(stack)
    # In threads: some wait for processes.
    await asyncio.to_thread(happening.__enter__)
    try:
        if fault.lasts:
            await asyncio.sleep(_LEAST_HOLD_S)
            await traffic.until_well(_SETTLED_S, options.hold)
    finally:
        await asyncio.to_thread(happening.__exit__, None, None, None)
    await traffic.until_well(_SETTLED_S, options.seconds)
    return await _row(stack, traffic, fault.name, fault.words, moment)


async def _row(stack: Stack, traffic: Traffic, name: str, words: str, moment: float) -> Row:
    well = traffic.is_well(_SETTLED_S)
    asked = [each for each in traffic.since(moment) if each.status]
    memory = sum(resident_bytes(stack, service) for service in stack.services) >> 20
    row = Row.of(name, words, moment, asked, memory, well=well)
    print(row, flush=True)
    for line in sorted(set(row.bad))[:10]:
        print(f"  {line}", flush=True)
    return row


if __name__ == "__main__":
    main()
