"""Rows that this replica has read of the store: whoever asks for them again touches nothing but memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.encoder.cache.entry import Entry, Prefixes

# For so long after they were read they may outlive the store's own: what is deleted there, or has come to its age, is
# gone here too then. Once a minute an image that everybody asks about is read anew.
FRESH_S = 60.0


@dataclass(eq=False)
class _Held:
    entry: Entry
    until: float
    # By the index of the tile.
    tiles: Prefixes = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(tile.nbytes for tile in self.tiles)


class NearRows:
    """Of each tile as many rows as were asked for at most; the least recently used entry goes first.

    What was only written takes no room. Nothing is copied, and rows come back as they went in: whoever takes them
    checks them, like those of any store.

    Args:
        max_bytes: of all rows; 0 keeps none.
        fresh_s: age at which they go, from when the first of an entry were read.
        clock: seconds, monotonic.
    """

    def __init__(self, max_bytes: int, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._fresh_s = fresh_s
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self.bytes = 0

    def get(self, key: str, entry: Entry, counts: Sequence[int]) -> list[memoryview] | None:
        """The first ``counts[t]`` rows of each tile, as ``Store.ranges`` has them; None if some are missing, or are of
        another entry."""
        held = self._fresh(key)
        if held is None or held.entry is not entry:
            return None
        if any(len(tile) < count for tile, count in zip(held.tiles, counts, strict=True)):
            return None
        self._held.move_to_end(key)
        tiles = zip(held.tiles, counts, strict=True)
        return [tile[:count].reshape(-1).data for tile, count in tiles if count]

    def put(self, key: str, entry: Entry, rows: Prefixes) -> None:
        """Keep an entry's rows, which have been checked, in place of fewer of the same tile that are here."""
        if not self._max_bytes:
            return
        held = self._fresh(key)
        if held is None or held.entry is not entry:
            self.forget(key)
            held = _Held(entry, self._clock() + self._fresh_s, [tile[:0] for tile in rows])
        self.bytes -= held.size
        held.tiles = [max(pair, key=len) for pair in zip(held.tiles, rows, strict=True)]
        self._held[key] = held
        self._held.move_to_end(key)
        self.bytes += held.size
        # What nobody has used for so long is first, and too old.
        now = self._clock()
        while self._held:
            first, oldest = next(iter(self._held.items()))
            if self.bytes <= self._max_bytes and now < oldest.until:
                break
            self.forget(first)

    def forget(self, key: str) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.bytes -= held.size

    def holds(self, key: str) -> bool:
        """Whether any rows of it are here, and fresh."""
        return self._fresh(key) is not None

    def _fresh(self, key: str) -> _Held | None:
        held = self._held.get(key)
        if held is not None and self._clock() >= held.until:
            self.forget(key)
            return None
        return held
