"""How long each stage of a request took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from services.encoder import metrics


class Stages:
    """Seconds by stage of one request; a stage may be taken up several times."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @property
    def total(self) -> float:
        """Seconds since the request was taken up."""
        return time.perf_counter() - self._start

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def observe(self) -> None:
        """Count the request in ``heroserve_encoder_stage_seconds``, once a stage."""
        for stage, seconds in self.seconds.items():
            metrics.STAGE_SECONDS.labels(stage=stage).observe(seconds)
