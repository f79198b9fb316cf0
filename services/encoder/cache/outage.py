"""What the cache knows of a store that failed."""

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
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
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
            logger.warning("cache out of reach, going on without it; tried again every %g s: %s", _PAUSE_S, error)
        self._until = self._clock() + _PAUSE_S

    def end(self) -> None:
        """The store answered."""
        if self._until:
            logger.info("cache in reach again")
        self._until = 0.0
