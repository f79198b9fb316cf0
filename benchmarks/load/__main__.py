"""Goodput against load offered: a real stack on this machine, callers with deadlines that do not wait for each other.

    python -m benchmarks.load [--multiples 0.5,1,1.3,2,4] [--seconds 20] [--deadline 5] [--callers plain|sdk]

The peak is measured first, in closed loops of several widths; multiples are of it. The callers share the machine's
cores with the services, so rates compare within one run.
"""

from __future__ import annotations

import argparse
import asyncio

import grpc
import psutil

import heroserve
from benchmarks.ending import end_in_peace
from benchmarks.load.drive import Callers, Outcome, PlainCallers, SdkCallers, closed_loop, open_loop
from benchmarks.load.questions import Known, known_questions
from scripts.stack import Ports, Stack, running

_SCENES = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--multiples", default="0.5,1,1.3,2,4", type=_floats)
    parser.add_argument("--widths", default="8,16,32,64", type=_floats)
    parser.add_argument("--seconds", default=20.0, type=float)
    parser.add_argument("--deadline", default=5.0, type=float)
    parser.add_argument("--callers", choices=["plain", "sdk"], default="plain", help="without retries, or as shipped")
    options = parser.parse_args()
    end_in_peace()
    with running(Ports.free()) as stack:
        target = f"localhost:{stack.ports.llm}"
        with heroserve.Client(target) as client:
            known = known_questions(client, _SCENES)
        print(f"{len(known)} questions about {_SCENES} pictures, all of them cached\n", flush=True)
        asyncio.run(_drive(stack, target, known, options))


async def _drive(stack: Stack, target: str, known: list[Known], options: argparse.Namespace) -> None:
    if options.callers == "sdk":
        async with heroserve.AsyncClient(target) as client:
            await _measure(stack, SdkCallers(client), known, options)
    else:
        async with grpc.aio.insecure_channel(target) as channel:
            await _measure(stack, PlainCallers(channel), known, options)


async def _measure(stack: Stack, callers: Callers, known: list[Known], options: argparse.Namespace) -> None:
    print("| closed loop | answers/s | p50 s | p99 s | refused or failed |\n| --- | --- | --- | --- | --- |")
    peak = 0.0
    for width in map(int, options.widths):
        outcome = await closed_loop(callers, known, width, options.seconds / 2)
        peak = max(peak, outcome.goodput)
        print(
            f"| {width} callers | {outcome.goodput:.1f} | {outcome.percentile(0.5):.2f} | "
            f"{outcome.percentile(0.99):.2f} | {_failures(outcome)} |",
            flush=True,
        )
    print(
        "\n| offered | offered/s | goodput/s | of peak | p50 s | p99 s | wrong | not answered | memory |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for seed, multiple in enumerate(options.multiples):
        rate = multiple * peak
        outcome = await open_loop(callers, known, rate, options.seconds, options.deadline, seed)
        print(
            f"| {multiple:g}x | {outcome.offered / options.seconds:.1f} | {outcome.goodput:.1f} | "
            f"{outcome.goodput / peak:.0%} | {outcome.percentile(0.5):.2f} | {outcome.percentile(0.99):.2f} | "
            f"{outcome.wrong} | {_failures(outcome)} | {_memory(stack) / 2**20:.0f} MiB |",
            flush=True,
        )


def _failures(outcome: Outcome) -> str:
    return ", ".join(f"{count} {name}" for name, count in outcome.failures.most_common()) or "none"


def _memory(stack: Stack) -> int:
    """Resident bytes of the services' processes, Ray's included; pages they share count once for each."""
    processes = [psutil.Process(service.pid) for service in stack.services.values()]
    return sum(p.memory_info().rss for root in processes for p in (root, *root.children(recursive=True)))


def _floats(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
