"""What the cache knows of a store that failed, or that takes no writes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from services.encoder.cache.store import StoreError

# After a failure the store is left alone so long: a dead Redis costs one time-out now and then, not one a request.
_PAUSE_S = 2.0

logger = logging.getLogger(__name__)


class Outage:
    """Whether the store is to be left alone. After a pause one caller finds out for all whether it is back.

    Args:
        clock: seconds, monotonic.
        begins, ends: what the log is told then.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        begins: str = "cache out of reach, going on without it",
        ends: str = "cache in reach again",
    ) -> None:
        self._clock = clock
        self._begins = begins
        self._ends = ends
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        return self._clock() < self._until

    @property
    def began(self) -> bool:
        """Whether it failed, and has not been found to be back since."""
        return bool(self._until)

    def admits(self) -> bool:
        """Whether this caller may ask the store; it tells how that went by ``begin`` or ``end``."""
        if self.lasts:
            return False
        if self._until:
            self._until = self._clock() + _PAUSE_S
        return True

    def begin(self, error: StoreError) -> None:
        """The store failed just now."""
        if not self._until:
            logger.warning("%s; tried again every %g s: %s", self._begins, _PAUSE_S, error)
        self._until = self._clock() + _PAUSE_S

    def end(self) -> None:
        """The store did what it was asked for."""
        if self._until:
            logger.info(self._ends)
        self._until = 0.0


class Trouble:
    """Of one place: out of reach it is asked nothing; where it refuses writes it is read all the same.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.outage = Outage(clock)
        self.writes = Outage(clock, "the cache refuses writes, what is in it is read", "the cache takes writes again")


class Troubles:
    """Of all places of a store: a node of a cluster that is gone takes no other's entries with it.

    Args:
        clock: seconds, monotonic.
        place: of an entry, by its key.
    """

    def __init__(self, clock: Callable[[], float], place: Callable[[str], str]) -> None:
        self._clock = clock
        self._place = place
        self._of: dict[str, Trouble] = {}

    def of(self, key: str) -> Trouble:
        place = self._place(key)
        if place not in self._of:
            self._of[place] = Trouble(self._clock)
        return self._of[place]
