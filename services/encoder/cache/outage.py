"""What the cache knows of a store that failed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from services.encoder.cache.store import StoreError

# After a failure the store is left alone so long: a dead Redis costs one time-out now and then, not one a request.
_PAUSE_S = 2.0

logger = logging.getLogger(__name__)


class Outage:
    """Whether the store is to be left alone.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        return self._clock() < self._until

    def begin(self, error: StoreError) -> None:
        """The store failed just now."""
        self._until = self._clock() + _PAUSE_S
        logger.warning("cache out of reach, going on without it for %g s: %s", _PAUSE_S, error)
