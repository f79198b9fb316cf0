"""Requests as a load sends them: closed, each worker's next when its last has ended, or open, at times of their own."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from heroserve.cli.bench.outcome import Outcome

_GLANCE_S = 0.2


@dataclass(frozen=True)
class Load:
    """Args:
    concurrency: requests at once, in an open loop at most: what comes while so many run waits, and that counts.
    rate: requests a second of an open loop, at random times (Poisson's, always the same ones); None is a closed loop.
    duration_s: no request is begun after it; None for no bound.
    requests: begun at most; None for no bound.
    """

    concurrency: int
    rate: float | None = None
    duration_s: float | None = None
    requests: int | None = None

    def run(self, ask: Callable[[float], Outcome], glance: Callable[[int], None] = lambda done: None) -> list[Outcome]:
        """All outcomes; `ask` is called in threads, with the time that a request was due.

        `glance` is called in this thread now and then, with how many have ended. A KeyboardInterrupt here ends it:
        what has come until then is in its `outcomes`.
        """
        outcomes: list[Outcome] = []
        failures: list[BaseException] = []
        stop = threading.Event()
        due, lock = self._times(time.monotonic()), threading.Lock()

        def work() -> None:
            try:
                while not stop.is_set():
                    with lock:
                        at = next(due, None)
                    if at is None or stop.wait(max(0.0, at - time.monotonic())):
                        return
                    outcomes.append(ask(time.monotonic() if self.rate is None else at))
            except BaseException as failure:  # noqa: BLE001 - a bug, raised where the load was begun
                failures.append(failure)
                stop.set()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(self.concurrency)]
        try:
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                glance(len(outcomes))
                next(worker for worker in workers if worker.is_alive() or worker is workers[-1]).join(_GLANCE_S)
        except KeyboardInterrupt:
            stop.set()
            raise Interrupted(list(outcomes)) from None
        if failures:
            raise failures[0]
        return outcomes

    def _times(self, start: float) -> Iterator[float]:
        """When each request is due."""
        source = random.Random(0)  # noqa: S311 - spreads load, guards nothing
        end = None if self.duration_s is None else start + self.duration_s
        at, count = start, 0
        while self.requests is None or count < self.requests:
            at = time.monotonic() if self.rate is None else at + source.expovariate(self.rate)
            if end is not None and at >= end:
                return
            yield at
            count += 1


class Interrupted(KeyboardInterrupt):
    """Attributes: outcomes: what has come until then."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes
