"""How many requests a proxy has under way: no more than the replicas behind it have been seen to take."""

from __future__ import annotations

import math
from collections import Counter

from services.common.fair_line import Path

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

    At the limit, who has less under way than an equal share of it goes on all the same, and whoever has more is refused
    until there is room again: keys share alike, and so do the scopes of a key. Callers name scopes as they like, so all
    of a key have twice its share at most.
    """

    def __init__(self) -> None:
        self._limit = math.inf
        # Of everybody, of each key, of each of its scopes; and how many parties there are in each.
        self._under_way: Counter[Path] = Counter()
        self._parties: Counter[Path] = Counter()

    @property
    def forgettable(self) -> bool:
        """Nothing is under way, and nothing was learned yet."""
        return not self._under_way and math.isinf(self._limit)

    def enter(self, path: Path) -> bool:
        """Whether one more of theirs may go on; one that may must ``leave``."""
        if self._under_way[()] >= self._limit and not self._has_less(path):
            return False
        for depth in range(len(path) + 1):
            self._under_way[path[:depth]] += 1
            if depth and self._under_way[path[:depth]] == 1:
                self._parties[path[: depth - 1]] += 1
        return True

    def leave(self, path: Path, *, refused: bool) -> None:
        """One of theirs is over; ``refused`` by a replica that has too many."""
        under_way = self._under_way[()]
        if refused:
            self._limit = max(_LEAST, min(self._limit, under_way) - _LOWER)
        elif under_way > self._limit * _NEAR:
            self._limit += _RAISE
        for depth in range(len(path) + 1):
            self._under_way[path[:depth]] -= 1
            if not self._under_way[path[:depth]]:
                del self._under_way[path[:depth]]
                if depth:
                    self._parties[path[: depth - 1]] -= 1

    def _has_less(self, path: Path) -> bool:
        """Than an equal share, among the keys or among the scopes of its key."""
        share = self._limit
        for depth in range(len(path)):
            around, own = path[:depth], path[: depth + 1]
            if depth and self._under_way[around] >= 2 * share:
                return False
            share = max(1.0, share / (self._parties[around] + (own not in self._under_way)))
            if self._under_way[own] < share:
                return True
        return False
