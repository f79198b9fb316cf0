"""Where the time of a request goes: the one way to time, in both services."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services.common import tracing

if TYPE_CHECKING:
    # Ray's proxy loads this too, and counts nothing.
    from services.common.metrics import Histogram


class Stages:
    """Seconds by stage of one request; a stage may be taken up several times. Its clock starts with it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @property
    def total(self) -> float:
        """Seconds since the request was taken up."""
        return time.perf_counter() - self._start

    @contextmanager
    def time(self, stage: str, *, span: str = "") -> Iterator[None]:
        """Time a block; with ``span`` it is one of the trace's too, and what begins within belongs under it."""
        running = self.begin(stage, span=span)
        try:
            with tracing.at(running.trace):
                yield
        except BaseException as error:
            running.end(type(error).__name__)
            raise
        running.end()

    @contextmanager
    def phases(self, first: str) -> Iterator[Phases]:
        """Time a block by stages that follow one another, each a span; ``next`` ends one and begins another."""
        phases = Phases(self, first)
        try:
            yield phases
        except BaseException as error:
            phases.end(type(error).__name__)
            raise
        phases.end()

    def begin(self, stage: str, *, span: str = "") -> Stage:
        """Time what is no block, until ``end``; ``span`` as in ``time``."""
        return Stage(self, stage, span)

    def add(self, stage: str, seconds: float) -> None:
        """What was timed elsewhere."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def observe(self, histogram: Histogram) -> None:
        """Count the request in a histogram with a ``stage`` label, once a stage."""
        for stage, seconds in self.seconds.items():
            histogram.labels(stage=stage).observe(seconds)


class Stage:
    """A stage that runs.

    Attributes:
        trace: where in the trace what begins in it belongs.
    """

    def __init__(self, stages: Stages, name: str, span: str) -> None:
        self._stages = stages
        self._name = name
        self._span = tracing.begin(span, tracing.here()) if span else None
        self.trace = self._span.trace if self._span else tracing.here()
        self._start: float | None = time.perf_counter()

    def end(self, error: str = "") -> None:
        """It is over; said again it changes nothing. ``error`` says what ended it, if anything did."""
        if self._start is None:
            return
        self._stages.add(self._name, time.perf_counter() - self._start)
        self._start = None
        if self._span:
            self._span.end(error)


class Phases:
    """Stages one after the other."""

    def __init__(self, stages: Stages, first: str) -> None:
        self._stages = stages
        self._running = stages.begin(first, span=first)

    def next(self, stage: str) -> None:
        """The one that runs is over, and this one begins."""
        self._running.end()
        self._running = self._stages.begin(stage, span=stage)

    def end(self, error: str = "") -> None:
        """The last one is over; ``error`` says what ended it, if anything did."""
        self._running.end(error)
