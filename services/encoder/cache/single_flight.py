"""Work that several callers want at once is done once, and no longer than one of them waits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.common import context
from services.common.errors import DeadlineExceeded, ResourceExhausted

T = TypeVar("T")

_AGAIN_S = 1.0


@dataclass
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    size: int
    waiting: int = 0
    left: bool = False


class SingleFlight(Generic[T]):
    """Runs one task a key at a time; whoever asks for a running key waits for that task.

    The task belongs to no caller: one that is cancelled leaves it running for the others. When the last one has gone it
    is cancelled, and may still go on, if it is past the point where that saves anything.

    Args:
        max_flights: tasks at once.
        max_bytes: of what they hold together; one alone may hold more.
    """

    def __init__(self, max_flights: int, max_bytes: int) -> None:
        self._max_flights = max_flights
        self._max_bytes = max_bytes
        self._flights: dict[str, _Flight[T]] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[T]], *, size: int = 0, timeout_s: float = math.inf) -> T:
        """What ``work`` returns, or what it returned to who asked first.

        Args:
            key: what it is about.
            work: begun if nobody is at it.
            size: bytes that it holds meanwhile.
            timeout_s: longest that this caller waits.

        Raises:
            ResourceExhausted: too many are under way to begin another.
            DeadlineExceeded: it took longer.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            flight = self._flights.get(key) or self._begin(key, work, size)
            await self._wait(flight, deadline)
            if not flight.task.done():
                raise DeadlineExceeded("the deadline has passed")
            if not (flight.left and flight.task.cancelled()):
                return flight.task.result()
            # It ended because all had left, and this caller came after that: again, from the start.

    def _begin(self, key: str, work: Callable[[], Awaitable[T]], size: int) -> _Flight[T]:
        held = sum(flight.size for flight in self._flights.values())
        if len(self._flights) >= self._max_flights or (self._flights and held + size > self._max_bytes):
            raise ResourceExhausted(
                f"{len(self._flights)} new images wait to be encoded already; try again later", reason="images"
            )
        # In a context of its own: Serve ends with a request whatever began in the request's.
        flight = _Flight(context.apart().run(asyncio.ensure_future, _start(work)), size)
        self._flights[key] = flight
        flight.task.add_done_callback(lambda done: self._land(key, done))
        return flight

    async def _wait(self, flight: _Flight[T], deadline: float) -> None:
        left_s = deadline - asyncio.get_running_loop().time()
        flight.waiting += 1
        try:
            await asyncio.wait({flight.task}, timeout=None if math.isinf(left_s) else max(0.0, left_s))
        finally:
            flight.waiting -= 1
            self._end_if_left(flight)

    def _end_if_left(self, flight: _Flight[T]) -> None:
        if flight.waiting or flight.task.done():
            return
        flight.left = True
        flight.task.cancel()
        # Libraries lose what cancels them (asyncio.wait_for does, before Python 3.12).
        asyncio.get_running_loop().call_later(_AGAIN_S, self._end_if_left, flight)

    def _land(self, key: str, task: asyncio.Task[T]) -> None:
        del self._flights[key]
        if not task.cancelled():
            # Looked at here in case every caller has gone; the others see it raised.
            task.exception()


async def _start(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
