"""Rounds of requests that take turns, and what one cost."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.census import CALLERS, census, less
from benchmarks.hop.cases import Ask
from benchmarks.percentile import percentile


@dataclass(frozen=True)
class Round:
    """So many requests, ``at_once`` of them at any time.

    Args:
        seconds: of each request.
        lasted: of all of them, in seconds.
        cpu: seconds of processor time of the services meanwhile, by the part of the pipeline.
    """

    at_once: int
    seconds: Sequence[float]
    lasted: float
    cpu: Mapping[str, float]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.seconds) * 1e3

    @property
    def p95_ms(self) -> float:
        return percentile(self.seconds, 0.95) * 1e3

    @property
    def a_second(self) -> float:
        return len(self.seconds) / self.lasted

    @property
    def a_core(self) -> float:
        """Requests in a second of a core that does nothing else."""
        return len(self.seconds) / max(sum(self.cpu.values()), 1e-9)

    def cpu_ms(self, *parts: str) -> float:
        """Of a request, in these parts together."""
        return sum(self.cpu.get(part, 0.0) for part in parts) / len(self.seconds) * 1e3


async def run(ask: Ask, at_once: int, requests: int) -> Round:
    """After one that does not count."""
    await ask()
    left, seconds = requests, []

    async def caller() -> None:
        nonlocal left
        while left:
            left -= 1
            began = time.perf_counter()
            await ask()
            seconds.append(time.perf_counter() - began)

    before, began = census(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    lasted = time.perf_counter() - began
    cpu = less(census(), before)
    # Who asks is no part of what is served.
    cpu.pop(CALLERS)
    return Round(at_once, seconds, lasted, cpu)
