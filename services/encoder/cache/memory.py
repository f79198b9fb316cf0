"""Entries in this process: for one encoder replica on its own, and where no Redis runs."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from services.encoder.cache.store import Store


class MemoryStore(Store):
    """Bounded in bytes; the least recently used entry goes first.

    Args:
        max_bytes: of all metas and rows together.
        ttl_s: age at which an entry is gone.
        clock: seconds, monotonic.
    """

    def __init__(self, max_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[float, bytes, bytes]] = OrderedDict()

    async def check(self) -> None:
        pass

    async def meta(self, key: str) -> bytes | None:
        entry = self._used(key)
        return entry[1] if entry else None

    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        entry = self._used(key)
        rows = entry[2] if entry else b""
        return [rows[start:stop] for start, stop in spans]

    async def put(self, key: str, meta: bytes, rows: bytes) -> bool:
        size = len(meta) + len(rows)
        if size > self._max_bytes:
            return False
        self._drop(key)
        while self._bytes + size > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[key] = (self._clock() + self._ttl_s, meta, rows)
        self._bytes += size
        return True

    async def claim(self, key: str, seconds: float) -> bool:
        # Nobody else sees this store, and a process keeps from doing one thing twice by itself.
        return True

    async def renew(self, key: str, seconds: float) -> None:
        pass

    async def release(self, key: str) -> None:
        pass

    async def close(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def _used(self, key: str) -> tuple[float, bytes, bytes] | None:
        """An entry that is not too old, which makes it the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() >= entry[0]:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry[1]) + len(entry[2])
