"""What a proxy has refused by itself, until a replica is told: proxies have no metrics of their own."""

from __future__ import annotations

from collections import Counter

from services.common.errors import NO_ROOM, ResourceExhausted, ServiceError


class Refusals:
    """Of one service, by ``ServiceError.label``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, error: ServiceError) -> None:
        """One more."""
        self._counts[error.label] += 1

    def hand_over(self) -> Counter[str]:
        """All since the last time, for the request that goes on to a replica now."""
        told = self._counts
        self._counts = Counter()
        return told

    def turned_away(self, told: Counter[str]) -> ResourceExhausted:
        """Serve had no room for that request, so no replica has heard of what it carried; why it is refused itself."""
        self._counts.update(told)
        error = ResourceExhausted(NO_ROOM, reason="serve")
        self.add(error)
        return error
