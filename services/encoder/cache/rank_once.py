"""The cache as the pipeline uses it: it can only make things faster, never wrong, never down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from services.common.settings import SettingError
from services.encoder import metrics
from services.encoder.cache.entry import CorruptEntryError, Entry, dump, parse
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.redis import RedisStore
from services.encoder.cache.store import Store, StoreError
from services.encoder.ranked import Bytes2D
from services.encoder.settings import EncoderSettings

# After a failure the store is left alone so long: a dead Redis costs one time-out now and then, not one a request.
_PAUSE_S = 2.0
# Longer than a pass of the tower takes; a replica that dies in it holds the others up no longer.
_LEASE_S = 15.0
_LEASE_POLL_S = 0.02

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
        self._clock = clock
        self._paused_until = 0.0

    async def entry(self, digest: str) -> Entry | None:
        """An image's entry, to decide which of its rows to read; None for a miss of any kind."""
        if self._clock() < self._paused_until:
            _count("error")
            return None
        key = self._key(digest)
        try:
            meta = await self._store.meta(key)
            if meta is None:
                _count("miss")
                return None
            entry = parse(meta)
        except CorruptEntryError as error:
            self._unusable(key, error)
            return None
        except StoreError as error:
            self._pause(error)
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
            rows = entry.check(counts, chunks)
        except CorruptEntryError as error:
            self._unusable(key, error)
            return None
        except StoreError as error:
            self._pause(error)
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

    @asynccontextmanager
    async def lease(self, digest: str) -> AsyncIterator[bool]:
        """Hold an image's lease, so that of all replicas one encodes it.

        Yields whether somebody else had it before: then the entry is probably there now. A lease that can't be
        had in time, or a store that is gone, stops nobody.
        """
        key = self._key(digest)
        deadline = self._clock() + _LEASE_S
        waited = False
        while not (claimed := await self._claim(key)) and self._clock() < deadline:
            waited = True
            await asyncio.sleep(_LEASE_POLL_S)
        try:
            yield waited
        finally:
            if claimed:
                await self._release(key)

    async def _claim(self, key: str) -> bool:
        if self._clock() < self._paused_until:
            return True
        try:
            return await self._store.claim(key, _LEASE_S)
        except StoreError as error:
            self._pause(error)
            return True

    async def _release(self, key: str) -> None:
        if self._clock() < self._paused_until:
            return
        try:
            await self._store.release(key)
        except StoreError as error:
            self._pause(error)

    async def write(self, digest: str, entry: Entry, rows: Bytes2D) -> bool:
        """Keep an image's entry; False if the store could not."""
        if self._clock() < self._paused_until:
            return False
        meta = dump(entry)
        try:
            written = await self._store.put(self._key(digest), meta, rows.tobytes())
        except StoreError as error:
            self._pause(error)
            return False
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

    def _pause(self, error: StoreError) -> None:
        self._paused_until = self._clock() + _PAUSE_S
        logger.warning("cache out of reach, going on without it for %g s: %s", _PAUSE_S, error)


def open_store(settings: EncoderSettings) -> Store:
    """The store that HEROSERVE_CACHE_URL names.

    Raises:
        SettingError: it names none.
    """
    url = settings.cache_url
    if url == "memory://":
        return MemoryStore(settings.cache_memory_bytes, settings.cache_ttl_s)
    # The URL may hold a password, so no message repeats any of it.
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingError("HEROSERVE_CACHE_URL: expected memory://, redis://host:port/db, rediss:// or unix://")
    try:
        return RedisStore(url, settings.cache_ttl_s, settings.cache_timeout_s)
    except ValueError:
        raise SettingError(
            "HEROSERVE_CACHE_URL: not a usable Redis URL; expected redis://[user:password@]host:port/db, "
            "with reserved characters percent-encoded"
        ) from None


def _count(result: str) -> None:
    metrics.CACHE_REQUESTS.labels(result=result).inc()
