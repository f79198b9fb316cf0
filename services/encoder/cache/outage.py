"""What the cache knows of a store that failed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from services.encoder.cache.store import StoreError, StoreRefusedError

# After a failure the store is left alone so long: a dead Redis costs one time-out now and then, not one a request.
_PAUSE_S = 2.0

logger = logging.getLogger(__name__)


class Outage:
    """Whether the store is to be left alone. After a pause one caller finds out for all whether it is back.

    Args:
        clock: seconds, monotonic.
        told: what is said of it in the log.
    """

    def __init__(self, clock: Callable[[], float], told: str = "cache out of reach, going on without it") -> None:
        self._clock = clock
        self._told = told
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        return self._clock() < self._until

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
            logger.warning("%s; tried again every %g s: %s", self._told, _PAUSE_S, error)
        self._until = self._clock() + _PAUSE_S

    def end(self) -> None:
        """The store answered."""
        if self._until:
            logger.info("no longer: %s", self._told)
        self._until = 0.0


class StoreHealth:
    """A store that refuses writes still answers reads.

    Attributes:
        reach: whether anything may be asked of it.
        writes: whether anything may be written, once it is in reach.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.reach = Outage(clock)
        self.writes = Outage(clock, "the cache refuses writes, what is in it is read")

    @property
    def writable(self) -> bool:
        return not self.reach.lasts and not self.writes.lasts

    def write_failed(self, error: StoreError) -> None:
        (self.writes if isinstance(error, StoreRefusedError) else self.reach).begin(error)
