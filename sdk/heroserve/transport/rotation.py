"""The channels of a connection, one after another: which one a call takes, and when each comes and goes.

Free of gRPC, threads and clock, as `call` is: channels are whatever the caller opens, and it says what time it is.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

Channel = TypeVar("Channel")


class Loan(Generic[Channel]):
    """Keeps a channel open for one call, until released."""

    def __init__(self, channel: Channel, release: Callable[[Loan[Channel]], object]) -> None:
        self.channel = channel
        self._release = release

    def release(self) -> None:
        """The call is over. Harmless a second time."""
        self._release(self)

    def __enter__(self) -> Loan[Channel]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Rotation(Generic[Channel]):
    """A channel for the first call, and another for the first call after `max_age_s`.

    gRPC looks a name up for a new channel, and then only when a connection ends. The new channel, the successor,
    takes over once it is connected; until then, and while a name server or the new addresses are dead, calls go by
    the old one as if nothing were. The old one is to be closed when its last call ends. There is one successor at
    a time: it goes on trying.

    `now` is in seconds, by a clock that never goes back. What a method returns is to be done.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._loans: dict[Channel, set[Loan[Channel]]] = {}  # of every open channel
        self._current: Channel | None = None
        self._successor: Channel | None = None
        self._old_at = 0.0
        self.closed = False

    def wants_another(self, now: float) -> bool:
        """Whether to open a channel, and `add` it, before the next loan. Raises RuntimeError after `close`."""
        if self.closed:
            raise RuntimeError("the client is closed")
        return self._current is None or (self._successor is None and now >= self._old_at)

    def add(self, channel: Channel, now: float) -> bool:
        """Take the channel that was wanted; whether to have it connect, and say when it is `connected`."""
        self._loans[channel] = set()
        if self._current is None:
            self._current, self._old_at = channel, now + self._max_age_s
            return False
        self._successor = channel
        return True

    def borrow(self, release: Callable[[Loan[Channel]], object]) -> Loan[Channel]:
        """The channel for one call, connecting or connected; `release` leads to `released`."""
        if self._current is None:
            raise RuntimeError("there is no channel yet")
        loan = Loan(self._current, release)
        self._loans[loan.channel].add(loan)
        return loan

    def released(self, loan: Loan[Channel]) -> Channel | None:
        """A call is over; the channel to close, if it was the last on an old one."""
        self._loans.get(loan.channel, set()).discard(loan)
        return self._unused(loan.channel)

    def connected(self, channel: Channel, now: float) -> Channel | None:
        """The successor takes over; the channel to close, if nobody is on the old one."""
        if channel is not self._successor:  # closed meanwhile
            return None
        old, self._current, self._successor = self._current, channel, None
        self._old_at = now + self._max_age_s
        return None if old is None else self._unused(old)

    def close(self) -> tuple[list[Channel], Channel | None]:
        """No more loans; the channels to close with what runs on them, and the successor to give up."""
        channels, successor = self._loans, self._successor
        self.closed, self._loans, self._current, self._successor = True, {}, None, None
        return [channel for channel in channels if channel is not successor], successor

    def _unused(self, channel: Channel) -> Channel | None:
        """The channel, let go of, if calls neither are on it nor will come."""
        if channel is self._current or self._loans.get(channel):
            return None
        return None if self._loans.pop(channel, None) is None else channel
