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
# Powers of two of seconds between which callers' patience is told apart.
_HASTIEST, _CALMEST = -5, 7


class InFlightLimit:
    """Refuses at the proxy what the replicas would, where it costs the least; nothing to configure.

    Additive increase by what was accepted, additive decrease by what was refused. There is no limit before the first
    refusal. Replicas' own lines are bounded by time, so the limit follows what they can answer, and how many they are;
    several proxies find their shares.

    Those lines are longer for who can wait longer. So each patience, in powers of two, has a limit of its own: refusals
    of callers in a hurry keep no others away.

    At the limit, who has less under way than an equal share of it goes on all the same, and whoever has more is refused
    until there is room again: keys share alike, and so do the scopes of a key. Callers name scopes as they like, so all
    of a key have twice its share at most.
    """

    def __init__(self) -> None:
        # By patience; of those that are missing nothing was refused yet.
        self._limits: dict[int, float] = {}
        # Of everybody, of each key, of each of its scopes; and how many parties there are in each.
        self._under_way: Counter[Path] = Counter()
        self._parties: Counter[Path] = Counter()

    @property
    def forgettable(self) -> bool:
        """Nothing is under way, and nothing was learned yet."""
        return not self._under_way and not self._limits

    def enter(self, path: Path, patience_s: float = math.inf) -> bool:
        """Whether one more of theirs may go on; one that may must ``leave``. ``patience_s`` is its caller's."""
        limit = self._limits.get(_patience(patience_s), math.inf)
        if self._under_way[()] >= limit and not self._has_less(path, limit):
            return False
        for depth in range(len(path) + 1):
            self._under_way[path[:depth]] += 1
            if depth and self._under_way[path[:depth]] == 1:
                self._parties[path[: depth - 1]] += 1
        return True

    def leave(self, path: Path, patience_s: float = math.inf, *, refused: bool) -> None:
        """One of theirs is over; ``refused`` by a replica that has too many. ``patience_s`` as it entered."""
        under_way, patience = self._under_way[()], _patience(patience_s)
        limit = self._limits.get(patience, math.inf)
        if refused:
            self._limits[patience] = max(_LEAST, min(limit, under_way) - _LOWER)
        elif limit < math.inf and under_way > limit * _NEAR:
            self._limits[patience] = limit + _RAISE
        for depth in range(len(path) + 1):
            self._under_way[path[:depth]] -= 1
            if not self._under_way[path[:depth]]:
                del self._under_way[path[:depth]]
                if depth:
                    self._parties[path[: depth - 1]] -= 1

    def _has_less(self, path: Path, limit: float) -> bool:
        """Than an equal share of the limit, among the keys or among the scopes of its key."""
        share = limit
        for depth in range(len(path)):
            around, own = path[:depth], path[: depth + 1]
            if depth and self._under_way[around] >= 2 * share:
                return False
            share = max(1.0, share / (self._parties[around] + (own not in self._under_way)))
            if self._under_way[own] < share:
                return True
        return False


def _patience(seconds: float) -> int:
    """Its power of two."""
    if not seconds > 0:
        return _HASTIEST
    return _CALMEST if math.isinf(seconds) else max(_HASTIEST, min(_CALMEST, math.floor(math.log2(seconds))))
