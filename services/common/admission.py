"""Who may work now, who waits in line, and who is told at once that it would wait in vain."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.context import RequestContext
from services.common.errors import DeadlineExceeded, ResourceExhausted
from services.common.waiting import WAITING

# Of what a request has left, the share that it may spend in line: the rest is for the work.
_SHARE_IN_LINE = 0.5
# Weight of the latest request in the mean of what one takes.
_NEWEST = 0.1

_IN_LINE = WAITING.labels(where="line")


@dataclass(frozen=True)
class Line:
    """How long a line may get.

    Args:
        requests: that wait.
        seconds: that one waits.
        size: bytes of the requests that wait.
    """

    requests: int
    seconds: float
    size: int


class Admission:
    """First come, first served, for one replica and its event loop.

    The line is bounded by time: a request that would wait longer than half of what its caller gives it, by what the
    last ones took, is refused before any work, and so is what has waited until its deadline. A first-come line that is
    bounded by number alone serves nobody under overload: everyone who gets a turn has given up by then.

    Args:
        slots: requests that work at once.
        line: for the others.
    """

    def __init__(self, slots: int, line: Line) -> None:
        self._slots = slots
        self._limits = line
        self._working = 0
        self._held_s = 0.0
        self._line: deque[_Waiting] = deque()
        self._size = 0

    @asynccontextmanager
    async def turn(self, request: RequestContext, size: int = 0) -> AsyncIterator[None]:
        """Work, when it is this request's turn; the time until then is its stage "queue".

        Raises:
            ResourceExhausted: it would wait too long; says for how long others wait already.
            DeadlineExceeded: its deadline has passed in line.
        """
        await self._enter(request, size)
        began = time.monotonic()
        try:
            yield
        finally:
            held_s = time.monotonic() - began
            self._held_s += (held_s - self._held_s) * (_NEWEST if self._held_s else 1.0)
            self._pass_on()

    async def _enter(self, request: RequestContext, size: int) -> None:
        if self._working < self._slots:
            self._working += 1
            return
        self._check_room(request, size)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), request, size)
        self._line.append(waiting)
        self._size += size
        try:
            with request.stages.time("queue"), _IN_LINE.track_inprogress():
                await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._line:
                self._line.remove(waiting)
                self._size -= size
            elif not waiting.turn.cancelled() and waiting.turn.exception() is None:
                # Its turn came as it went away.
                self._pass_on()
            raise

    def _check_room(self, request: RequestContext, size: int) -> None:
        each_s = self._held_s / self._slots
        wait_s = (len(self._line) + 1) * each_s
        longest_s = min(self._limits.seconds, request.remaining_s * _SHARE_IN_LINE)
        if wait_s > longest_s:
            raise ResourceExhausted(
                f"{len(self._line)} requests are waiting, about {wait_s:.1f} s; this one may wait {longest_s:.1f} s",
                retry_after_s=max(each_s, wait_s - longest_s),
            )
        if len(self._line) >= self._limits.requests:
            raise ResourceExhausted(f"{len(self._line)} requests are waiting; try again later", retry_after_s=each_s)
        if self._size + size > self._limits.size and self._line:
            raise ResourceExhausted(
                f"{len(self._line)} requests of {self._size} bytes are waiting; the limit is {self._limits.size}",
                retry_after_s=each_s,
            )

    def _pass_on(self) -> None:
        """A slot is free: for the first in line that still has time."""
        while self._line:
            waiting = self._line.popleft()
            self._size -= waiting.size
            if waiting.turn.done():
                continue
            if waiting.request.remaining_s:
                waiting.turn.set_result(None)
                return
            waiting.turn.set_exception(DeadlineExceeded("the deadline has passed while it waited for its turn"))
        self._working -= 1


@dataclass(frozen=True, eq=False)
class _Waiting:
    turn: asyncio.Future[None]
    request: RequestContext
    size: int
