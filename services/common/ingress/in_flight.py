"""How many requests a proxy has under way: no more than the replicas behind it have been seen to take."""

from __future__ import annotations

import math

# Per request that was accepted near the limit, and per one that was refused: of six that pass, one is refused.
_RAISE = 0.1
_LOWER = 0.5
_NEAR = 0.5
_LEAST = 4.0


class InFlightLimit:
    """Refuses at the proxy what the replicas would, where it costs the least; nothing to configure.

    Additive increase by what was accepted, additive decrease by what was refused. There is no limit before the first
    refusal. Replicas' own lines are bounded by time, so the limit follows what they can answer, and how many they are;
    several proxies find their shares.
    """

    def __init__(self) -> None:
        self._limit = math.inf
        self._under_way = 0

    @property
    def forgettable(self) -> bool:
        """Nothing is under way, and nothing was learned yet."""
        return not self._under_way and math.isinf(self._limit)

    def enter(self) -> bool:
        """Whether one more may go on; one that may must ``leave``."""
        if self._under_way >= self._limit:
            return False
        self._under_way += 1
        return True

    def leave(self, *, refused: bool) -> None:
        """One is over; ``refused`` by a replica that has too many."""
        if refused:
            self._limit = max(_LEAST, min(self._limit, self._under_way) - _LOWER)
        elif self._under_way > self._limit * _NEAR:
            self._limit += _RAISE
        self._under_way -= 1
