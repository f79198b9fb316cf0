"""Rows at hand in a replica: who has them asks no store. They are never wrong, more than may be, or old."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.common.rows import Bytes2D
from services.encoder import parts
from services.encoder.cache.entry import Entry, Prefixes, build_entry
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.near import NearRows
from services.encoder.cache.rank_once import EntryOutdated, RankOnceCache
from services.encoder.cache.store import StoreError
from services.encoder.settings import EncoderSettings
from tests.support.encoder_parts import GRID, Clock, counted, random_image

FEW, SOME, MORE = [3, 0, 2, 1, 3], [2, 0, 2, 0, 1], [3, 1, 2, 1, 4]
NAME = "f" * 64
LARGE = 1 << 20


class Asked(MemoryStore):
    """Counts reads of rows, and is away where it is told so."""

    def __init__(self) -> None:
        super().__init__(LARGE, 1e9)
        self.reads = 0
        self.away = False

    async def meta(self, key: str) -> bytes | None:
        if self.away:
            raise StoreError("away")
        return await super().meta(key)

    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        self.reads += 1
        if self.away:
            raise StoreError("away")
        return await super().ranges(key, spans)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Asked:
    return Asked()


@pytest.fixture
def near(clock: Clock) -> NearRows:
    return NearRows(LARGE, 60, clock)


@pytest.fixture
async def cache(store: Asked, near: NearRows, clock: Clock) -> RankOnceCache:
    cache = RankOnceCache(store, "id", clock, near=near)
    await cache.write(NAME, *made())
    return cache


def made(seed: int = 0) -> tuple[Entry, Bytes2D]:
    return build_entry(GRID, random_image(GRID, seed=seed), 1.0)


async def look_up(cache: RankOnceCache, counts: Sequence[int], name: str = NAME) -> Prefixes | None:
    """As the pipeline does."""
    known = cache.known(name)
    if known is not None:
        try:
            return await cache.rows(name, known, counts)
        except EntryOutdated:
            pass
    entry = await cache.entry(name)
    return None if entry is None else await cache.rows(name, entry, counts)


def right(found: Prefixes | None, counts: Sequence[int], seed: int = 0) -> bool:
    entry, rows = made(seed)
    expected = [tile[:count] for tile, count in zip(entry.tiles(rows), counts, strict=True)]
    return found is not None and all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def told() -> dict[str, float]:
    places = {place: counted("heroserve_cache_hits_total", place=place) for place in ("replica", "store")}
    results = {name: counted("heroserve_cache_requests_total", result=name) for name in ("hit", "miss", "error")}
    return places | results | {"bytes": counted("heroserve_cache_bytes_total", direction="read")}


def since(before: dict[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in told().items() if value != before[name]}


async def test_rows_that_were_read_are_read_of_memory(cache: RankOnceCache, store: Asked):
    before = told()
    assert right(await look_up(cache, FEW), FEW)
    assert store.reads == 1
    read = since(before).pop("bytes")
    # Any that are among them.
    for counts in (FEW, SOME, [0, 0, 0, 0, 1]):
        assert right(await look_up(cache, counts), counts)
    assert store.reads == 1
    # A hit is a hit, and what was read of the store is told apart.
    assert since(before) == {"hit": 4, "replica": 3, "store": 1, "bytes": read}
    assert counted("heroserve_cache_near_bytes") == sum(FEW) * made()[0].row_bytes


async def test_more_of_a_tile_is_read_of_the_store_once(cache: RankOnceCache, store: Asked):
    for counts in (FEW, MORE, SOME):
        assert right(await look_up(cache, counts), counts)
    assert store.reads == 2
    # The most of each tile that there was, of whichever question.
    either = [0, 1, 0, 0, 4]
    assert right(await look_up(cache, either), either)
    assert store.reads == 2


async def test_they_outlive_the_stores_own_for_a_minute_at_most(cache: RankOnceCache, store: Asked, clock: Clock):
    await look_up(cache, FEW)
    await store.close()
    clock.now += 59
    assert right(await look_up(cache, SOME), SOME)
    clock.now += 1
    # That they were asked for meanwhile makes them no younger.
    assert await look_up(cache, SOME) is None


async def test_an_entry_that_is_written_anew_is_read_anew(cache: RankOnceCache, store: Asked):
    await look_up(cache, FEW)
    await cache.write(NAME, *made(seed=1))
    assert right(await look_up(cache, FEW), FEW, seed=1)
    # By another replica: what is near is right as it is, and rows of the two are never mixed.
    await RankOnceCache(store, "id").write(NAME, *made(seed=2))
    assert right(await look_up(cache, FEW), FEW, seed=1)
    assert right(await look_up(cache, MORE), MORE, seed=2)
    assert right(await look_up(cache, FEW), FEW, seed=2)


async def test_they_are_checked_as_the_stores_are(cache: RankOnceCache, store: Asked, near: NearRows):
    await look_up(cache, FEW)
    (held,) = near._held.values()
    held.tiles = [tile.copy() for tile in held.tiles]
    held.tiles[2][1, 0] ^= 1
    before = told()
    assert right(await look_up(cache, FEW), FEW)
    assert since(before).get("store") == 1
    assert since(before).get("miss") is None
    # The whole of them again.
    assert right(await look_up(cache, FEW), FEW)
    assert since(before).get("replica") == 1


async def test_a_store_that_is_away_is_not_missed(cache: RankOnceCache, store: Asked, clock: Clock):
    await look_up(cache, FEW)
    store.away = True
    assert await look_up(cache, MORE) is None
    reads, before = store.reads, told()
    # As long as it is left alone, and behind that.
    for later in (0.5, 1.0, 5.0):
        clock.now += later
        assert right(await look_up(cache, SOME), SOME)
    assert store.reads == reads
    assert since(before) == {"hit": 3, "replica": 3}
    # More than is near is a miss, and costs no time-out while it is known to be away.
    clock.now += 5
    assert await look_up(cache, MORE) is None
    reads = store.reads
    assert await look_up(cache, MORE) is None
    assert store.reads == reads
    store.away = False
    clock.now += 5
    assert right(await look_up(cache, MORE), MORE)


async def test_what_is_used_least_goes_first_and_there_is_never_more_than_may_be(store: Asked, clock: Clock):
    size = sum(FEW) * made()[0].row_bytes
    near = NearRows(3 * size, 60, clock)
    cache = RankOnceCache(store, "id", clock, near=near)
    for name in "abcd":
        await cache.write(name, *made())
        await look_up(cache, FEW, name)
        await look_up(cache, FEW, "a")
        assert near.bytes <= 3 * size
    assert [name for name in "abcd" if near.holds(f"id:{name}")] == ["a", "c", "d"]
    assert near.bytes == 3 * size
    # One that is larger than all that may be is not kept, and nothing goes wrong with it.
    every = made()[0].valid.tolist()
    assert right(await look_up(cache, every, "d"), every)
    assert near.bytes <= 3 * size
    # What is too old goes with the next that comes, which stays.
    clock.now += 100
    await look_up(cache, FEW, "b")
    assert near.holds("id:b")
    assert near.bytes == size
    clock.now += 59
    await look_up(cache, FEW, "c")
    clock.now += 1
    await look_up(cache, FEW, "d")
    assert [name for name in "abcd" if near.holds(f"id:{name}")] == ["c", "d"]


async def test_whether_the_store_has_them_is_asked_of_the_store(cache: RankOnceCache, store: Asked):
    await look_up(cache, FEW)
    known = cache.known(NAME)
    assert known is not None
    assert right(await cache.rows(NAME, known, FEW, near=False), FEW)
    assert store.reads == 2
    await store.close()
    assert right(await look_up(cache, FEW), FEW)
    with pytest.raises(EntryOutdated):
        await cache.rows(NAME, known, SOME, near=False)
    # Who finds out tells all.
    assert await look_up(cache, FEW) is None


async def test_none_may_be_kept(store: Asked, clock: Clock):
    cache = RankOnceCache(store, "id", clock, near=NearRows(0, 60, clock))
    await cache.write(NAME, *made())
    for _ in range(3):
        assert right(await look_up(cache, FEW), FEW)
    assert store.reads == 3


@pytest.mark.parametrize(
    ("settings", "most", "fresh_s"),
    [
        ({"cache_url": "redis://localhost:1"}, 128 << 20, 60),
        ({"cache_url": "redis://localhost:1", "cache_near_bytes": 5, "cache_ttl_s": 7}, 5, 7),
        ({"cache_url": "redis://localhost:1", "cache_near_bytes": 0}, 0, 60),
        # All of it is in memory as it is.
        ({"cache_url": "memory://"}, 0, 60),
    ],
    ids=str,
)
async def test_how_much_and_for_how_long_is_a_settings(settings: dict[str, object], most: int, fresh_s: float):
    cache = parts.open_cache(EncoderSettings(**settings), "id")
    assert (cache._near._max_bytes, cache._near._fresh_s) == (most, fresh_s)
    await cache.close()
