"""Whether an application answers, asked again and again, whoever wants to know."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection

PERIOD_S = 1.5
# Until it is ready, the first time and again.
_WAITING_S = 0.5
# Without an answer for so long: three or four canaries in a row have not come back.
PATIENCE_S = 6.0

logger = logging.getLogger(__name__)


class Canary:
    """Small questions to one application, one every ``PERIOD_S``; each has ``PATIENCE_S`` to come back.

    They don't wait for each other: where one replica of several hangs, the next goes to another. Under load some come
    late, and one that comes is enough.

    A line in the log tells when what it says has changed.

    Args:
        name: of what the application answers for, in the log.
        ask: what the application can't do now, by what it lacks (see ``Replica.ready``); raises if it answers nothing.
        clock: in seconds.
    """

    def __init__(
        self, name: str, ask: Callable[[], Awaitable[dict[str, str]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._ask = ask
        self._clock = clock
        self._heard = -math.inf
        # What it lacks: why, and when it was there last.
        self._lacking: dict[str, tuple[str, float]] = {}
        self._failure = "no answer"
        self._under_way: set[asyncio.Task[None]] = set()
        self._ready: bool | None = None

    async def run(self) -> None:
        """For ever."""
        while True:
            task = asyncio.create_task(self.send())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            # Who waits for it is told at once.
            await asyncio.sleep(PERIOD_S if self._ready else min(PERIOD_S, _WAITING_S))
            self._tell()

    async def send(self) -> None:
        """One."""
        try:
            lacking = await asyncio.wait_for(self._ask(), PATIENCE_S)
        except asyncio.TimeoutError:
            self._failure = "no answer"
        except Exception as error:
            logger.debug("a canary did not come back", exc_info=True)
            self._failure = type(error).__name__
        else:
            there = self._heard
            self._heard = self._clock()
            self._lacking = {name: (why, self._lacking.get(name, ("", there))[1]) for name, why in lacking.items()}

    def _tell(self) -> None:
        problem = self.problem()
        if self._ready and problem:
            logger.warning("%s is not ready: %s", self._name, problem)
        elif self._ready is False and not problem:
            logger.warning("%s is ready again", self._name)
        # Before it was ready for the first time there is nothing to tell.
        if self._ready is not None or not problem:
            self._ready = problem is None

    def problem(self, without: Collection[str] = ()) -> str | None:
        """Why a question would not be answered now; None if it would.

        Args:
            without: what it may lack.
        """
        now = self._clock()
        if math.isinf(self._heard):
            return "no replica has answered yet"
        if now - self._heard >= PATIENCE_S:
            return f"no replica has answered for {now - self._heard:.0f} s ({self._failure})"
        for name, (why, there) in self._lacking.items():
            if name not in without and now - there >= PATIENCE_S:
                return f"{name}: {why}"
        return None
