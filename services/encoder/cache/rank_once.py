"""The cache as the pipeline uses it: it can only make things faster, never wrong, never down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from services.common.rows import Bytes2D
from services.encoder import metrics
from services.encoder.cache.entry import CorruptEntryError, Entry, dump, parse
from services.encoder.cache.lease import Leases
from services.encoder.cache.outage import StoreHealth
from services.encoder.cache.store import Store, StoreError

logger = logging.getLogger(__name__)


class RankOnceCache:
    """Entries by image digest, for one encoder id. Every look-up counts once: as hit, miss or error.

    Args:
        store: where they are kept.
        encoder_id: digest of everything that changes the rows.
        clock: seconds, monotonic.
    """

    def __init__(self, store: Store, encoder_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._encoder_id = encoder_id
        self._health = StoreHealth(clock)
        self._leases = Leases(store, self._health, clock)

    async def entry(self, digest: str) -> Entry | None:
        """An image's entry, to decide which of its rows to read; None for a miss of any kind."""
        if not self._health.reach.admits():
            _count("error")
            return None
        key = self._key(digest)
        try:
            meta = await self._store.meta(key)
            self._health.reach.end()
            if meta is None:
                _count("miss")
                return None
            entry = parse(meta)
        except CorruptEntryError as error:
            self._unusable(key, error)
            return None
        except StoreError as error:
            self._health.reach.begin(error)
            _count("error")
            return None
        metrics.CACHE_BYTES.labels(direction="read").inc(len(meta))
        return entry

    async def rows(self, digest: str, entry: Entry, counts: Sequence[int]) -> Bytes2D | None:
        """The first ``counts[t]`` rows of each tile, uint8 [sum(counts), row_bytes]; None for a miss of any kind."""
        if any(wanted > stored for wanted, stored in zip(counts, entry.stored, strict=True)):
            _count("miss")
            return None
        key = self._key(digest)
        try:
            chunks = await self._store.ranges(key, entry.spans(counts))
            rows = await asyncio.to_thread(entry.check, counts, chunks)
        except CorruptEntryError as error:
            self._unusable(key, error)
            return None
        except StoreError as error:
            self._health.reach.begin(error)
            _count("error")
            return None
        _count("hit")
        metrics.CACHE_BYTES.labels(direction="read").inc(rows.nbytes)
        return rows

    async def whole(self, digest: str) -> tuple[Entry, Bytes2D] | None:
        """An image's entry with all its rows; None if it has none, or not all of them."""
        entry = await self.entry(digest)
        if entry is None:
            return None
        rows = await self.rows(digest, entry, entry.valid.tolist())
        return None if rows is None else (entry, rows)

    def lease(self, digest: str) -> AbstractAsyncContextManager[bool]:
        """Hold an image's lease, so that of all replicas one encodes it; see ``Leases.hold``."""
        return self._leases.hold(self._key(digest))

    async def write(self, digest: str, entry: Entry, rows: Bytes2D) -> bool:
        """Keep an image's entry; False if the store could not."""
        if not self._health.writable:
            return False
        meta = dump(entry)
        try:
            written = await self._store.put(self._key(digest), meta, rows.tobytes())
        except StoreError as error:
            self._health.write_failed(error)
            return False
        self._health.writes.end()
        if written:
            metrics.CACHE_BYTES.labels(direction="write").inc(len(meta) + rows.nbytes)
        return written

    async def close(self) -> None:
        await self._store.close()

    def _key(self, digest: str) -> str:
        return f"{self._encoder_id}:{digest}"

    def _unusable(self, key: str, error: CorruptEntryError) -> None:
        logger.warning("cache entry %s is unusable and will be rewritten: %s", key, error)
        _count("miss")


def _count(result: str) -> None:
    metrics.CACHE_REQUESTS.labels(result=result).inc()
