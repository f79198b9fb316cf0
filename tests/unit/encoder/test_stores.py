"""Both stores keep the same promises; Redis keeps them when it is killed, hangs, restarts or is full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis

from scripts.redis_server import RedisServer, free_port
from services.common.settings import SettingError
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.redis import RedisStore
from services.encoder.cache.store import Store, StoreError
from services.encoder.parts import open_store
from services.encoder.settings import EncoderSettings
from tests.support.encoder_parts import Clock

# A busy machine answers within it, and is not late by as much again.
TIMEOUT_S = 2.0
KEY = "0123abcd:feed"


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        made: Store = MemoryStore(1 << 20, 60)
    else:
        made = RedisStore(request.getfixturevalue("redis_server").url, 60, 2.0)
    yield made
    await made.close()


class TestBoth:
    async def test_nothing_there(self, store: Store) -> None:
        assert await store.meta(KEY) is None
        assert await store.ranges(KEY, [(0, 4), (7, 9)]) == [b"", b""]

    async def test_put_and_read(self, store: Store) -> None:
        rows = bytes(range(256))
        assert await store.put(KEY, b"meta\0\xff", rows) is True
        assert await store.meta(KEY) == b"meta\0\xff"
        assert await store.ranges(KEY, [(0, 256), (0, 1), (255, 256), (10, 20)]) == [
            rows,
            rows[:1],
            rows[255:],
            rows[10:20],
        ]
        assert await store.ranges(KEY, []) == []

    async def test_shorter_where_the_rows_are(self, store: Store) -> None:
        await store.put(KEY, b"m", b"0123456789")
        assert await store.ranges(KEY, [(8, 20), (10, 20), (50, 60)]) == [b"89", b"", b""]

    async def test_put_replaces(self, store: Store) -> None:
        await store.put(KEY, b"old", b"a long string")
        await store.put(KEY, b"new", b"short")
        assert await store.meta(KEY) == b"new"
        assert await store.ranges(KEY, [(0, 100)]) == [b"short"]

    async def test_keys_are_apart(self, store: Store) -> None:
        await store.put("a:1", b"m1", b"r1")
        await store.put("a:2", b"m2", b"r2")
        assert [await store.meta(key) for key in ("a:1", "a:2")] == [b"m1", b"m2"]
        assert await store.ranges("a:1", [(0, 2)]) == [b"r1"]


class TestMemory:
    async def test_the_least_recently_used_goes_first(self) -> None:
        store = MemoryStore(30, 60)
        for key in "abc":
            assert await store.put(key, b"12345", b"67890")
        await store.meta("a")
        await store.put("d", b"12345", b"67890")
        assert [key for key in "abcd" if await store.meta(key)] == ["a", "c", "d"]

    async def test_who_reads_rows_alone_uses_an_entry_too(self) -> None:
        clock = Clock()
        store = MemoryStore(30, 60, clock)
        for key in "abc":
            assert await store.put(key, b"12345", b"67890")
        assert await store.ranges("a", [(1, 3)]) == [b"78"]
        await store.put("d", b"12345", b"67890")
        assert [key for key in "abcd" if await store.meta(key)] == ["a", "c", "d"]
        clock.now += 60
        assert await store.ranges("a", [(1, 3)]) == [b""]

    async def test_never_above_its_bound(self) -> None:
        store = MemoryStore(100, 60)
        for number in range(200):
            assert await store.put(str(number % 17), bytes(number % 7), bytes(number % 31))
            held = sum(len(meta) + len(rows) for _, meta, rows in store._entries.values())
            assert held == store._bytes <= 100

    async def test_replacing_frees_what_was_there(self) -> None:
        store = MemoryStore(20, 60)
        await store.put("a", b"", bytes(10))
        for _ in range(5):
            await store.put("b", b"", bytes(10))
        assert await store.meta("a") is not None

    async def test_what_can_never_fit_is_refused_and_harms_nothing(self) -> None:
        store = MemoryStore(20, 60)
        await store.put("a", b"m", bytes(10))
        assert await store.put("b", b"m", bytes(20)) is False
        assert await store.meta("a") == b"m"
        assert await store.meta("b") is None
        assert await store.put("c", bytes(10), bytes(10)) is True

    async def test_age(self) -> None:
        clock = Clock()
        store = MemoryStore(100, 60, clock)
        await store.put("a", b"m", b"r")
        clock.now += 59.9
        assert await store.meta("a") == b"m"
        clock.now += 0.1
        assert await store.meta("a") is None
        assert store._bytes == 0
        await store.put("a", b"n", b"r")
        assert await store.meta("a") == b"n"


@pytest.fixture
async def shared(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_server.url, 60, TIMEOUT_S)
    yield store
    await store.close()


@pytest.fixture
def direct(redis_server: RedisServer) -> Any:
    return redis.Redis.from_url(redis_server.url)


class TestRedis:
    async def test_keys_and_their_time_to_live(self, shared: RedisStore, direct: Any) -> None:
        await shared.put(KEY, b"m", b"rows")
        names = [f"heroserve:{KEY}:meta".encode(), f"heroserve:{KEY}:rows".encode()]
        assert sorted(direct.keys()) == names
        for name in names:
            assert 30 < direct.ttl(name) <= 60

    async def test_rows_are_read_in_ranges(self, shared: RedisStore, direct: Any) -> None:
        await shared.put(KEY, b"m", bytes(500_000))
        sent = direct.info("stats")["total_net_output_bytes"]
        await shared.ranges(KEY, [(0, 100), (1000, 1200), (4000, 4001)])
        commands = direct.info("commandstats")
        assert commands["cmdstat_getrange"]["calls"] == 3
        assert "cmdstat_get" not in commands
        assert direct.info("stats")["total_net_output_bytes"] - sent < 20_000

    async def test_both_strings_are_written_or_neither(self, shared: RedisStore, direct: Any) -> None:
        await shared.put(KEY, b"m", b"r")
        commands = direct.info("commandstats")
        assert commands["cmdstat_exec"]["calls"] == commands["cmdstat_multi"]["calls"] == 1

    async def test_dead(self, shared: RedisStore, redis_server: RedisServer) -> None:
        await shared.put(KEY, b"m", b"r")
        redis_server.kill()
        await fails_in_time(shared)

    async def test_never_there(self) -> None:
        store = RedisStore(f"redis://127.0.0.1:{free_port()}/0", 60, TIMEOUT_S)
        await fails_in_time(store)
        await store.close()

    async def test_hanging(self, shared: RedisStore, redis_server: RedisServer) -> None:
        await shared.put(KEY, b"m", b"r")
        redis_server.freeze()
        await fails_in_time(shared)
        redis_server.thaw()
        assert await shared.put(KEY, b"m2", b"r")
        assert await shared.meta(KEY) == b"m2"

    async def test_hanging_from_the_start(self, redis_server: RedisServer) -> None:
        redis_server.freeze()
        store = RedisStore(redis_server.url, 60, TIMEOUT_S)
        await fails_in_time(store)
        redis_server.thaw()
        await store.close()

    async def test_restarted(self, shared: RedisStore, redis_server: RedisServer) -> None:
        await shared.put(KEY, b"m", b"r")
        redis_server.kill()
        with pytest.raises(StoreError):
            await shared.meta(KEY)
        redis_server.start()
        assert await shared.meta(KEY) is None
        assert await shared.put(KEY, b"m", b"r")
        assert await shared.ranges(KEY, [(0, 1)]) == [b"r"]

    @pytest.mark.parametrize("how", ["restarted", "closed by the server"])
    async def test_an_idle_connection_that_died_is_replaced(
        self, shared: RedisStore, redis_server: RedisServer, direct: Any, how: str
    ) -> None:
        await shared.put(KEY, b"m", b"r")
        if how == "restarted":
            redis_server.restart()
            assert await shared.meta(KEY) is None
        else:
            direct.client_kill_filter(_type="normal", skipme=True)
            assert await shared.meta(KEY) == b"m"

    async def test_a_cancelled_read_leaves_no_answer_behind(
        self, shared: RedisStore, redis_server: RedisServer
    ) -> None:
        await shared.put("a", b"of a", b"")
        await shared.put("b", b"of b", b"")
        redis_server.freeze()
        reading = asyncio.create_task(shared.meta("a"))
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        redis_server.thaw()
        assert await shared.meta("b") == b"of b"

    async def test_many_at_once(self, shared: RedisStore) -> None:
        await asyncio.gather(*(shared.put(f"k{n}", f"m{n}".encode(), bytes(1000)) for n in range(20)))
        assert await asyncio.gather(*(shared.meta(f"k{n}") for n in range(20))) == [b"m%d" % n for n in range(20)]

    async def test_wrong_password(self, redis_server: RedisServer, direct: Any) -> None:
        direct.config_set("requirepass", "right")
        store = RedisStore(f"redis://:s3cr3t@127.0.0.1:{redis_server.port}/0", 60, TIMEOUT_S)
        with pytest.raises(StoreError) as caught:
            await store.meta(KEY)
        assert "s3cr3t" not in str(caught.value)
        await store.close()

    async def test_a_lease_is_one_holders_for_a_while(self, shared: RedisStore, direct: Any) -> None:
        assert await shared.claim(KEY, 60) is True
        assert await shared.claim(KEY, 60) is False
        assert await shared.claim("another", 60) is True
        assert 30_000 < direct.pttl(f"heroserve:{KEY}:lease") <= 60_000
        await shared.release(KEY)
        assert await shared.claim(KEY, 0.05) is True
        await asyncio.sleep(0.1)
        assert await shared.claim(KEY, 5) is True

    async def test_full(self, tmp_path: Path) -> None:
        server = RedisServer(free_port(), tmp_path, {"maxmemory": "8mb", "maxmemory-policy": "noeviction"})
        server.start()
        store = RedisStore(server.url, 60, 2.0)
        try:
            writes = (store.put(str(number), b"m", bytes(1 << 20)) for number in range(12))
            outcomes = [await asyncio.gather(write, return_exceptions=True) for write in writes]
            assert outcomes[0] == [True]
            assert isinstance(outcomes[-1][0], StoreError)
        finally:
            await store.close()
            server.stop()

    async def test_evicting(self, tmp_path: Path) -> None:
        server = RedisServer(free_port(), tmp_path, {"maxmemory": "8mb", "maxmemory-policy": "allkeys-lfu"})
        server.start()
        store = RedisStore(server.url, 60, 2.0)
        try:
            for number in range(12):
                assert await store.put(str(number), b"m", bytes(1 << 20))
            assert [await store.ranges(str(n), [(0, 1)]) for n in range(12)].count([b""]) >= 4
        finally:
            await store.close()
            server.stop()

    async def test_unix_socket(self, tmp_path: Path) -> None:
        server = RedisServer(free_port(), tmp_path, {"unixsocket": str(tmp_path / "s")})
        server.start()
        store = open_store(EncoderSettings(cache_url=f"unix://{tmp_path}/s"))
        try:
            await store.put(KEY, b"m", b"r")
            assert await store.meta(KEY) == b"m"
        finally:
            await store.close()
            server.stop()


async def fails_in_time(store: Store) -> None:
    """Each by itself, after one time-out: no second wait for the same server."""
    operations = (store.meta(KEY), store.ranges(KEY, [(0, 1), (2, 3)]), store.put(KEY, b"m", b"r"))
    started = time.perf_counter()
    outcomes = await asyncio.gather(*operations, return_exceptions=True)
    assert time.perf_counter() - started < 1.9 * TIMEOUT_S
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 3


class TestUrls:
    def test_memory(self) -> None:
        assert isinstance(open_store(EncoderSettings()), MemoryStore)

    @pytest.mark.parametrize("url", ["redis://h:1/2", "rediss://u:p@h:1", "unix:///tmp/x?db=1"])
    def test_redis(self, url: str) -> None:
        assert isinstance(open_store(EncoderSettings(cache_url=url)), RedisStore)

    @pytest.mark.parametrize(
        "url",
        [
            "memory",
            "localhost:6379",
            "http://u:s3cr3t@h",
            "redis:/u:s3cr3t@h",
            "redis://u:s3cr3t@h:port/0",
            "redis://u:s3cr3t@h:99999/0",
            "redis://u:s3cr3t@[h/0",
            "redis://u:s3cr3t@h/0?socket_timeout=soon",
        ],
    )
    def test_unusable(self, url: str) -> None:
        told = message(url)
        assert told.startswith("HEROSERVE_CACHE_URL: ")
        assert "s3cr3t" not in told

    @pytest.mark.parametrize("url", ["redis://u:s3cr3t/x@h:1/0", "redis://:s3cr3t#x@h:1/0", "redis://:s3cr3t?@h/0"])
    def test_a_password_with_a_reserved_character_is_not_repeated(self, url: str) -> None:
        assert "s3cr3t" not in message(url)

    def test_an_unknown_option(self) -> None:
        assert message("redis://h/0?foo=1").startswith("HEROSERVE_CACHE_URL: ")


def message(url: str) -> str:
    with pytest.raises(SettingError) as caught:
        open_store(EncoderSettings(cache_url=url))
    return str(caught.value)
