"""Of an entry that it knows a replica reads the rows alone, and finds out by them what became of it in the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from services.common.rows import Bytes2D
from services.encoder.cache.entry import Entry, build_entry
from services.encoder.cache.known import KnownEntries
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import EntryOutdated, RankOnceCache
from services.encoder.cache.store import EntryRefused, StoreError
from tests.support.encoder_parts import GRID, Clock, counted, random_image

COUNTS = [3, 0, 2, 1, 4]
NAME = "f" * 64
RESULTS = ("hit", "miss", "error")


class Asked(MemoryStore):
    """Tells what it was asked for, and fails as it is told to."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(1 << 20, 60, clock or Clock())
        self.asked: list[str] = []
        self.fails: Exception | None = None

    async def meta(self, key: str) -> bytes | None:
        self.asked.append("meta")
        return await super().meta(key)

    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        self.asked.append("ranges")
        if self.fails is not None:
            raise self.fails
        return await super().ranges(key, spans)


def made(seed: int = 0, depth: float = 1.0) -> tuple[Entry, Bytes2D]:
    return build_entry(GRID, random_image(GRID, seed=seed), depth)


def results() -> dict[str, float]:
    return {name: counted("heroserve_cache_requests_total", result=name) for name in RESULTS}


async def test_who_wrote_or_read_an_entry_knows_it() -> None:
    store = Asked()
    writer, reader = RankOnceCache(store, "id"), RankOnceCache(store, "id")
    entry, rows = made()
    assert writer.known(NAME) is None
    await writer.write(NAME, entry, rows)
    assert writer.known(NAME) is entry
    assert reader.known(NAME) is None
    read = await reader.entry(NAME)
    assert read is not None
    # What nothing has proved yet is not known.
    assert reader.known(NAME) is None
    await reader.rows(NAME, read, COUNTS)
    assert reader.known(NAME) is read
    store.asked = []
    found = await reader.rows(NAME, read, COUNTS)
    assert found is not None
    assert np.array_equal(np.concatenate(found), rows[entry.kept(COUNTS)])
    assert store.asked == ["ranges"]


async def test_another_encoder_and_another_image_are_not_known() -> None:
    store = Asked()
    cache = RankOnceCache(store, "a")
    await cache.write(NAME, *made())
    assert cache.known("scope:" + NAME) is None
    assert RankOnceCache(store, "b").known(NAME) is None


@pytest.mark.parametrize("became", ["lost", "expired", "of another pass", "no longer deep enough", "another type"])
async def test_one_that_the_store_has_no_more_is_not_known_any_more(became: str) -> None:
    clock = Clock()
    store = Asked(clock)
    cache, other = RankOnceCache(store, "id"), RankOnceCache(store, "id")
    entry, rows = made(depth=0.5 if became == "no longer deep enough" else 1.0)
    await cache.write(NAME, entry, rows)
    known = cache.known(NAME)
    assert known is entry
    wanted = COUNTS
    if became == "lost":
        await store.close()
    elif became == "expired":
        clock.now += 61
    elif became == "of another pass":
        await other.write(NAME, *made(seed=1))
    elif became == "no longer deep enough":
        wanted = made()[0].valid.tolist()
        await other.write(NAME, *made())
    else:
        store.fails = EntryRefused("Redis answers WRONGTYPE")
    before = results()
    with pytest.raises(EntryOutdated):
        await cache.rows(NAME, known, wanted)
    assert results() == before
    assert cache.known(NAME) is None


async def test_damage_to_one_that_was_just_read_is_a_miss() -> None:
    store = Asked()
    cache = RankOnceCache(store, "id")
    await cache.write(NAME, *made())
    read = await cache.entry(NAME)
    assert read is not None
    await RankOnceCache(store, "id").write(NAME, *made(seed=1))
    before = results()
    assert await cache.rows(NAME, read, COUNTS) is None
    assert results() == before | {"miss": before["miss"] + 1}


async def test_while_the_store_is_in_trouble_nothing_is_known() -> None:
    store, clock = Asked(), Clock()
    cache = RankOnceCache(store, "id", clock)
    entry, rows = made()
    await cache.write(NAME, entry, rows)
    store.fails = StoreError("out of reach")
    assert await cache.rows(NAME, entry, COUNTS) is None
    assert cache.known(NAME) is None
    # The pause is over, and one caller finds out for all whether it is back.
    clock.now += 3
    store.fails = None
    assert cache.known(NAME) is None
    assert await cache.entry(NAME) is not None
    assert cache.known(NAME) is entry


def test_the_least_recently_used_goes_first() -> None:
    entries = [made(seed)[0] for seed in range(4)]
    one = KnownEntries(1 << 20)
    one.put("a", entries[0])
    known = KnownEntries(3 * one._bytes)
    for key, entry in zip("abc", entries, strict=False):
        known.put(key, entry)
    known.get("a")
    known.put("d", entries[3])
    assert [key for key in "abcd" if known.get(key)] == ["a", "c", "d"]
    for _ in range(9):
        known.put("d", entries[3])
    assert [key for key in "abcd" if known.get(key)] == ["a", "c", "d"]
    for key in "acd":
        known.forget(key)
        known.forget(key)
    assert known._bytes == 0


def test_one_that_is_too_large_is_not_known() -> None:
    known = KnownEntries(100)
    known.put("a", made()[0])
    assert known.get("a") is None
    assert known._bytes == 0
