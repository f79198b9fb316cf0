"""Who may work now, who waits in line, and who is told at once that it would wait in vain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.common.context import RequestContext
from services.common.errors import DeadlineExceeded, ResourceExhausted
from services.common.fair_line import FairLine, Measure, Path
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
    """Turns, for one replica and its event loop: by arrival among callers of one scope, alike between keys, and between
    the scopes of a key (see ``FairLine``).

    The line is bounded by time: a request that would wait longer than half of what its caller gives it, by what the
    last ones took, is refused before any work, and so is what has waited until its deadline. A first-come line that is
    bounded by number alone serves nobody under overload: everyone who gets a turn has given up by then. Where it is
    full by number or bytes, the last of who has most of it gives way to who would have less.

    Args:
        slots: requests that work at once.
        line: for the others.
    """

    def __init__(self, slots: int, line: Line) -> None:
        self._slots = slots
        self._limits = line
        self._held_s = 0.0
        self._line: FairLine[_Waiting] = FairLine()

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
            self._end(_path(request))

    async def _enter(self, request: RequestContext, size: int) -> None:
        path = _path(request)
        if self._line.working < self._slots:
            self._line.begin(path)
            return
        self._check_wait(request, path)
        self._make_room("waiting", 1, self._limits.requests, path)
        if self._line.waiting:
            # One alone may be of any size.
            self._make_room("size", size, self._limits.size, path)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), request, path, size)
        self._line.add(waiting)
        try:
            with request.stages.time("queue"), _IN_LINE.track_inprogress():
                await waiting.turn
        except asyncio.CancelledError:
            if not self._line.remove(waiting) and not waiting.turn.cancelled() and waiting.turn.exception() is None:
                # Its turn came as it went away.
                self._end(path)
            raise

    def _check_wait(self, request: RequestContext, path: Path) -> None:
        turns = self._line.turns(path)
        wait_s = turns * self._each_s
        longest_s = min(self._limits.seconds, request.remaining_s * _SHARE_IN_LINE)
        if wait_s > longest_s:
            raise ResourceExhausted(
                f"{turns - 1} requests are waiting, about {wait_s:.1f} s; this one may wait {longest_s:.1f} s",
                retry_after_s=max(self._each_s, wait_s - longest_s),
                reason="wait",
            )

    def _make_room(self, measure: Measure, amount: int, limit: int, path: Path) -> None:
        """Have others give way, if they have more of the line than is theirs.

        Raises:
            ResourceExhausted: none does.
        """
        while (self._line.waiting if measure == "waiting" else self._line.size) + amount > limit:
            count, size = self._line.waiting, self._line.size
            other = self._line.give_way(path, measure, amount)
            if other is None:
                told = f"{count} requests are waiting; try again later"
                if measure == "size":
                    told = f"{count} requests of {size} bytes are waiting; the limit is {limit}"
                raise ResourceExhausted(told, retry_after_s=self._each_s, reason="line")
            other.turn.set_exception(
                ResourceExhausted(
                    f"{count} requests are waiting, more of this caller's than of others; try again later",
                    retry_after_s=self._each_s,
                    reason="share",
                )
            )

    @property
    def _each_s(self) -> float:
        """How often a turn comes."""
        return self._held_s / self._slots

    def _end(self, path: Path) -> None:
        """A slot is free: for whoever's turn it is, and still has time."""
        self._line.end(path)
        while self._line.waiting:
            waiting = self._line.pop()
            if waiting.turn.done():
                self._line.end(waiting.path)
            elif waiting.request.remaining_s:
                waiting.turn.set_result(None)
                return
            else:
                waiting.turn.set_exception(DeadlineExceeded("the deadline has passed while it waited for its turn"))
                self._line.end(waiting.path)


def _path(request: RequestContext) -> Path:
    return request.key, request.scope


@dataclass(frozen=True, eq=False)
class _Waiting:
    turn: asyncio.Future[None]
    request: RequestContext
    path: Path
    size: int
