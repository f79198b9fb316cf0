"""Drives a service with questions, in a closed loop or at a rate that does not wait for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import heroserve
from benchmarks.load.questions import OPTIONS, Known
from heroserve.errors import HeroserveError


@dataclass
class Outcome:
    """What became of the questions of one run.

    Args:
        seconds: that questions were sent for.
        latencies: of right answers that came in time, in seconds.
        wrong: answers with another text.
        failures: statuses of the others, by name.
    """

    seconds: float
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def offered(self) -> int:
        return len(self.latencies) + self.wrong + self.failures.total()

    @property
    def goodput(self) -> float:
        """Right answers in time, a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies) or [float("nan")]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def closed_loop(client: heroserve.AsyncClient, known: Sequence[Known], width: int, seconds: float) -> Outcome:
    """``width`` callers, each with one question after the other."""
    outcome = Outcome(seconds)
    end = time.monotonic() + seconds

    async def caller(seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311
        while time.monotonic() < end:
            await _ask(client, draw.choice(known), seconds, outcome)

    await asyncio.gather(*(caller(seed) for seed in range(width)))
    return outcome


async def open_loop(
    client: heroserve.AsyncClient, known: Sequence[Known], rate: float, seconds: float, deadline_s: float, seed: int
) -> Outcome:
    """Questions at the times of a Poisson process with ``rate`` a second, whatever becomes of those before."""
    outcome = Outcome(seconds)
    draw = random.Random(seed)  # noqa: S311
    start = time.monotonic()
    due = 0.0
    async with asyncio.TaskGroup() as tasks:
        while (due := due + draw.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, start + due - time.monotonic()))
            tasks.create_task(_ask(client, draw.choice(known), deadline_s, outcome))
    return outcome


async def _ask(client: heroserve.AsyncClient, known: Known, deadline_s: float, outcome: Outcome) -> None:
    sent = time.monotonic()
    try:
        answer = await client.ask(known.image, known.question, timeout_s=deadline_s, **OPTIONS)
    except HeroserveError as error:
        outcome.failures[error.code.name if error.code else type(error).__name__] += 1
        return
    if answer.text != known.answer:
        outcome.wrong += 1
        return
    outcome.latencies.append(time.monotonic() - sent)
