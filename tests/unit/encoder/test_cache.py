"""The rank-once cache can only make things faster: whatever happens to an entry or to the store is a miss."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
import redis

from scripts.redis_server import RedisServer
from services.common.rows import Bytes2D
from services.encoder.cache import entry as entries
from services.encoder.cache.entry import Entry, build_entry, dump
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.cache.store import Store, StoreError
from tests.support.encoder_parts import GRID, Clock, counted, random_image

ID, DIGEST = "0" * 32, "f" * 64
META, ROWS = f"heroserve:{ID}:{DIGEST}:meta", f"heroserve:{ID}:{DIGEST}:rows"
RESULTS = ("hit", "miss", "error")
COUNTS = [3, 0, 2, 1, 4]


class Counts:
    """What was counted since."""

    def __init__(self) -> None:
        self._before = self._now()

    def __call__(self) -> dict[str, int]:
        now = self._now()
        return {name: int(now[name] - self._before[name]) for name in now if now[name] != self._before[name]}

    def _now(self) -> dict[str, float]:
        results = {name: counted("heroserve_cache_requests_total", result=name) for name in RESULTS}
        bytes_ = {name: counted("heroserve_cache_bytes_total", direction=name) for name in ("read", "write")}
        return results | bytes_

    def results(self) -> dict[str, int]:
        return {name: number for name, number in self().items() if name in RESULTS}


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture(scope="module")
def made() -> tuple[Entry, Bytes2D]:
    return build_entry(GRID, random_image(GRID), 1.0)


@pytest.fixture
async def cache(redis_server: RedisServer) -> AsyncIterator[RankOnceCache]:
    cache = RankOnceCache(RedisStore(redis_server.url, 60, 2.0), ID)
    yield cache
    await cache.close()


@pytest.fixture
def direct(redis_server: RedisServer) -> Any:
    return redis.Redis.from_url(redis_server.url)


async def look_up(cache: RankOnceCache, wanted: Sequence[int] = COUNTS) -> Bytes2D | None:
    entry = await cache.entry(DIGEST)
    rows = None if entry is None else await cache.rows(DIGEST, entry, wanted)
    return None if rows is None else np.concatenate(rows)


@pytest.fixture(params=["memory", "redis"])
async def either(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[RankOnceCache]:
    store = MemoryStore(1 << 20, 60) if request.param == "memory" else RedisStore(redis_server.url, 60, 2.0)
    cache = RankOnceCache(store, ID)
    yield cache
    await cache.close()


async def test_miss_write_hit(either: RankOnceCache, made: tuple[Entry, Bytes2D], counts: Counts) -> None:
    cache = either
    entry, rows = made
    assert await look_up(cache) is None
    assert counts() == {"miss": 1}
    assert await cache.write(DIGEST, entry, rows) is True
    assert counts() == {"miss": 1, "write": len(dump(entry)) + rows.nbytes}
    found = await look_up(cache)
    assert np.array_equal(found, rows[entry.kept(COUNTS)])
    assert counts.results() == {"miss": 1, "hit": 1}
    assert counts()["read"] == len(dump(entry)) + found.nbytes


async def test_no_row_at_all(cache: RankOnceCache, made: tuple[Entry, Bytes2D], counts: Counts) -> None:
    await cache.write(DIGEST, *made)
    assert (await look_up(cache, [0] * 5)).shape == (0, made[0].row_bytes)
    assert counts.results() == {"hit": 1}


async def test_encoders_are_apart(made: tuple[Entry, Bytes2D]) -> None:
    store = MemoryStore(1 << 20, 60)
    await RankOnceCache(store, "a").write(DIGEST, *made)
    assert await RankOnceCache(store, "b").entry(DIGEST) is None


def flip(direct: Any, key: str, at: int) -> None:
    value = bytearray(direct.get(key))
    value[at] ^= 1
    direct.set(key, bytes(value))


def outdate(direct: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "SCHEMA", 0)
        direct.set(META, dump(build_entry(GRID, random_image(GRID), 1.0)[0]))


HARM = {
    "meta evicted": lambda direct: direct.delete(META),
    "rows evicted": lambda direct: direct.delete(ROWS),
    "rows truncated": lambda direct: direct.set(ROWS, direct.get(ROWS)[:45]),
    "meta truncated": lambda direct: direct.set(META, direct.get(META)[:-3]),
    "meta empty": lambda direct: direct.set(META, b""),
    "meta corrupt": lambda direct: flip(direct, META, 40),
    "a row corrupt": lambda direct: flip(direct, ROWS, 21),
    "rows of another image": lambda direct: direct.set(
        ROWS, build_entry(GRID, random_image(GRID, seed=1), 1.0)[1].tobytes()
    ),
    "older schema": outdate,
}


@pytest.mark.parametrize("harm", HARM)
async def test_a_harmed_entry_is_a_miss_and_is_mended(
    cache: RankOnceCache, direct: Any, made: tuple[Entry, Bytes2D], counts: Counts, harm: str
) -> None:
    await cache.write(DIGEST, *made)
    HARM[harm](direct)
    assert await look_up(cache) is None
    assert counts.results() == {"miss": 1}
    await cache.write(DIGEST, *made)
    assert np.array_equal(await look_up(cache), made[1][made[0].kept(COUNTS)])
    assert counts.results() == {"miss": 1, "hit": 1}
    assert direct.ttl(META) > 50
    assert direct.ttl(ROWS) > 50


async def test_harm_to_rows_nobody_asks_for_is_not_seen(
    cache: RankOnceCache, direct: Any, made: tuple[Entry, Bytes2D]
) -> None:
    await cache.write(DIGEST, *made)
    flip(direct, ROWS, made[1].nbytes - 1)
    wanted = made[0].valid.tolist()
    assert await look_up(cache, wanted) is None
    wanted[-1] -= 1
    assert await look_up(cache, wanted) is not None


async def test_deeper_than_what_is_stored(counts: Counts) -> None:
    cache = RankOnceCache(MemoryStore(1 << 20, 60), ID)
    shallow, rows = build_entry(GRID, random_image(GRID), 0.5)
    await cache.write(DIGEST, shallow, rows)
    assert np.array_equal(await look_up(cache, shallow.stored.tolist()), rows)
    assert counts.results() == {"hit": 1}
    deeper = shallow.stored.tolist()
    deeper[2] += 1
    assert await look_up(cache, deeper) is None
    assert counts.results() == {"hit": 1, "miss": 1}


async def test_too_large_an_entry(made: tuple[Entry, Bytes2D], counts: Counts) -> None:
    cache = RankOnceCache(MemoryStore(100, 60), ID)
    assert await cache.write(DIGEST, *made) is False
    assert counts() == {}


class FlakyStore(MemoryStore):
    """Out of reach when told so; counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(1 << 20, 60)
        self.down: set[str] = set()
        self.asked = 0

    def _ask(self, what: str) -> None:
        self.asked += 1
        if what in self.down:
            raise StoreError("out of reach")

    async def meta(self, key: str) -> bytes | None:
        self._ask("meta")
        return await super().meta(key)

    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        self._ask("ranges")
        return await super().ranges(key, spans)

    async def put(self, key: str, meta: bytes, rows: bytes) -> bool:
        self._ask("put")
        return await super().put(key, meta, rows)


@pytest.mark.parametrize("what", ["meta", "ranges", "put"])
async def test_a_store_out_of_reach_is_left_alone_for_a_while(
    made: tuple[Entry, Bytes2D], counts: Counts, what: str
) -> None:
    store, clock = FlakyStore(), Clock()
    cache = RankOnceCache(store, ID, clock)
    assert await cache.write(DIGEST, *made)
    store.down = {what}
    if what == "put":
        assert await cache.write(DIGEST, *made) is False
    else:
        assert await look_up(cache) is None
    failed = {} if what == "put" else {"error": 1}
    assert counts.results() == failed

    store.down, asked = set(), store.asked
    clock.now += 1.9
    assert await look_up(cache) is None
    assert await cache.write(DIGEST, *made) is False
    assert store.asked == asked
    assert counts.results() == {"error": failed.get("error", 0) + 1}

    clock.now += 0.2
    assert await look_up(cache) is not None
    assert counts.results()["hit"] == 1
    assert await cache.write(DIGEST, *made) is True


async def test_redis_dies_and_comes_back(
    redis_server: RedisServer, made: tuple[Entry, Bytes2D], counts: Counts
) -> None:
    clock = Clock()
    store: Store = RedisStore(redis_server.url, 60, 0.3)
    cache = RankOnceCache(store, ID, clock)
    await cache.write(DIGEST, *made)
    redis_server.kill()
    assert await look_up(cache) is None
    assert counts.results() == {"error": 1}
    redis_server.start()
    clock.now += 2.1
    assert await look_up(cache) is None
    assert await cache.write(DIGEST, *made) is True
    assert await look_up(cache) is not None
    assert counts.results() == {"error": 1, "miss": 1, "hit": 1}
    await cache.close()
