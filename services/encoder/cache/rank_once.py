"""The cache as the pipeline uses it: it can only make things faster, never wrong, never down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import NoReturn

from services.common.rows import Bytes2D
from services.encoder import metrics
from services.encoder.cache.entry import CorruptEntryError, Entry, Mark, Prefixes, dump, parse
from services.encoder.cache.known import KnownEntries
from services.encoder.cache.lease import Leases
from services.encoder.cache.near import NearRows
from services.encoder.cache.outage import Troubles
from services.encoder.cache.seal import Seal
from services.encoder.cache.store import EntryRefused, Store, StoreError, WritesRefused

logger = logging.getLogger(__name__)


class EntryOutdated(Exception):
    """The store has another entry by now than the one that was known here, or none."""


class RankOnceCache:
    """Entries by name, for one encoder id: an image's digest, behind a scope where callers share nothing.

    Every look-up counts once, as hit, miss or error; so does every write. A known entry is half a look-up: its rows are
    asked for at once, and where they are not its own any more the store is asked for the entry as well. Where they are
    near, the store is asked nothing, and need not be there.

    Args:
        store: where they are kept.
        encoder_id: digest of everything that changes the rows.
        clock: seconds, monotonic.
        key: what entries are sealed with; empty for a key that is derived, see ``Seal``.
        near: rows that were read of the store; without it each hit reads them.
    """

    def __init__(
        self,
        store: Store,
        encoder_id: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        key: str = "",
        near: NearRows | None = None,
    ) -> None:
        self._store = store
        self._encoder_id = encoder_id
        self._seal = Seal(key, encoder_id)
        self._troubles = Troubles(clock, store.place)
        self._leases = Leases(store, self._troubles, clock)
        self._known = KnownEntries()
        self._near = near or NearRows(0)

    def known(self, name: str) -> Entry | None:
        """An image's entry, as it was last read or written here; None also while it is unsure that the store answers,
        and nothing of it is near.

        Whoever plans by it asks for ``rows``, which prove whether it still is the store's.
        """
        key = self._key(name)
        unsure = self._troubles.of(key).outage.began and not self._near.holds(key)
        return None if unsure else self._known.get(key)

    async def entry(self, name: str, side: int | None = None, relevance: int | None = None) -> Entry | None:
        """An image's entry in the store, to decide which of its rows to read; None for a miss of any kind.

        ``side`` and ``relevance`` are what it must have for that, see ``Entry.check_terms``.
        """
        key = self._key(name)
        outage = self._troubles.of(key).outage
        if not outage.admits():
            _count("error")
            return None
        try:
            meta = await self._store.meta(key)
            outage.end()
            if meta is None:
                _count("miss")
                return None
            entry = parse(meta, self._mark(key))
            if (side, relevance) != (None, None):
                entry.check_terms(side, relevance)
        except (CorruptEntryError, StoreError) as error:
            self._not_read(key, error)
            return None
        metrics.CACHE_BYTES.labels(direction="read").inc(len(meta))
        return entry

    async def rows(self, name: str, entry: Entry, counts: Sequence[int], *, near: bool = True) -> Prefixes | None:
        """The first ``counts[t]`` rows of each tile; None for a miss of any kind.

        Args:
            name: of the entry.
            entry: whose they are.
            counts: of each tile.
            near: they may be those at hand; else the store is asked, which tells whether it still has them.

        Raises:
            EntryOutdated: the entry was ``known``, and has not got these rows; it isn't any more, and nothing counted.
        """
        key = self._key(name)
        was_known = self._known.get(key) is entry
        if any(wanted > stored for wanted, stored in zip(counts, entry.stored, strict=True)):
            if was_known:
                self._outdated(key)
            _count("miss")
            return None
        at_hand = await self._rows_near(key, entry, counts) if near else None
        if at_hand is not None:
            _hit("replica")
            return at_hand
        outage = self._troubles.of(key).outage
        if not outage.admits():
            _count("error")
            return None
        try:
            chunks = await self._store.ranges(key, entry.spans(counts))
            outage.end()
            rows = await asyncio.to_thread(entry.check, counts, chunks)
        except (CorruptEntryError, StoreError) as error:
            if was_known and isinstance(error, CorruptEntryError | EntryRefused):
                self._outdated(key)
            self._not_read(key, error)
            return None
        self._known.put(key, entry)
        if near:
            self._near.put(key, entry, rows)
            metrics.CACHE_NEAR_BYTES.set(self._near.bytes)
        _hit("store")
        metrics.CACHE_BYTES.labels(direction="read").inc(sum(tile.nbytes for tile in rows))
        return rows

    async def _rows_near(self, key: str, entry: Entry, counts: Sequence[int]) -> Prefixes | None:
        """Without the store; checked all the same."""
        chunks = self._near.get(key, entry, counts)
        if chunks is None:
            return None
        try:
            return await asyncio.to_thread(entry.check, counts, chunks)
        except CorruptEntryError as error:
            logger.warning("rows of cache entry %s were damaged in memory: %s", key, error)
            self._near.forget(key)
            return None

    async def whole(
        self, name: str, side: int | None = None, relevance: int | None = None
    ) -> tuple[Entry, Prefixes] | None:
        """An image's entry with all its rows; None if it has none, or not all of them."""
        entry = await self.entry(name, side, relevance)
        if entry is None:
            return None
        rows = await self.rows(name, entry, entry.valid.tolist())
        return None if rows is None else (entry, rows)

    def lease(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Hold an image's lease, so that of all replicas one encodes it; see ``Leases.hold``."""
        return self._leases.hold(self._key(name))

    async def write(self, name: str, entry: Entry, rows: Bytes2D) -> bool:
        """Keep an image's entry; False if the store could not."""
        result = await self._write(self._key(name), entry, rows)
        metrics.CACHE_WRITES.labels(result=result).inc()
        return result == "written"

    async def close(self) -> None:
        await self._store.close()

    async def _write(self, key: str, entry: Entry, rows: Bytes2D) -> str:
        trouble = self._troubles.of(key)
        if trouble.outage.lasts:
            return "error"
        if not trouble.writes.admits():
            return "refused"
        meta = dump(entry, self._mark(key))
        try:
            written = await self._store.put(key, meta, rows.tobytes())
        except WritesRefused as error:
            trouble.writes.begin(error)
            return "refused"
        except EntryRefused as error:
            logger.warning("cache entry %s could not be written: %s", key, error)
            return "error"
        except StoreError as error:
            trouble.outage.begin(error)
            return "error"
        trouble.writes.end()
        if not written:
            return "too_large"
        self._known.put(key, entry)
        metrics.CACHE_BYTES.labels(direction="write").inc(len(meta) + rows.nbytes)
        return "written"

    def _key(self, name: str) -> str:
        return f"{self._encoder_id}:{name}"

    def _mark(self, key: str) -> Mark:
        return partial(self._seal.mark, key)

    def _outdated(self, key: str) -> NoReturn:
        self._known.forget(key)
        self._near.forget(key)
        raise EntryOutdated

    def _not_read(self, key: str, error: CorruptEntryError | StoreError) -> None:
        if isinstance(error, CorruptEntryError | EntryRefused):
            # A refusal is an answer too: the store is there.
            self._troubles.of(key).outage.end()
            logger.warning("cache entry %s is unusable and will be rewritten: %s", key, error)
            metrics.CACHE_UNUSABLE.inc()
            _count("miss")
        else:
            self._troubles.of(key).outage.begin(error)
            _count("error")


def _hit(place: str) -> None:
    _count("hit")
    metrics.CACHE_HITS.labels(place=place).inc()


def _count(result: str) -> None:
    metrics.CACHE_REQUESTS.labels(result=result).inc()
