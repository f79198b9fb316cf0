"""What Redis says matters: an outage is no answer, a refused write leaves reads, any other reply is one entry's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from scripts.redis_server import RedisServer
from services.common.rows import Bytes2D
from services.encoder.cache.entry import Entry, build_entry
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.cache.replies import as_store_error
from services.encoder.cache.store import EntryRefused, StoreError, WritesRefused
from tests.support.encoder_parts import GRID, Clock, counted, random_image
from tests.support.redis_nodes import follow, forwarded, listening, servers
from tests.support.waiting import until

KNOWN, OTHER = "0" * 64, "1" * 64
COUNTS = [3, 0, 2, 1, 4]


@pytest.fixture(scope="module")
def made() -> tuple[Entry, Bytes2D]:
    return build_entry(GRID, random_image(GRID), 1.0)


@pytest.fixture
def direct(redis_server: RedisServer) -> Any:
    return redis.Redis.from_url(redis_server.url)


@pytest.fixture
async def connect(redis_server: RedisServer) -> AsyncIterator[Callable[..., RankOnceCache]]:
    opened: list[RankOnceCache] = []

    def make(url: str = redis_server.url, clock: Clock | None = None) -> RankOnceCache:
        opened.append(RankOnceCache(RedisStore(url, 60, 5.0), "id", clock or Clock()))
        return opened[-1]

    yield make
    for cache in opened:
        await cache.close()


def full(direct: Any, url: str) -> str:
    direct.config_set("maxmemory-policy", "noeviction")
    direct.config_set("maxmemory", direct.info("memory")["used_memory"] + 1000)
    return url


def replica(direct: Any, url: str) -> str:
    direct.execute_command("REPLICAOF", "127.0.0.1", "1")
    return url


def cannot_save(direct: Any, url: str) -> str:
    direct.config_set("dir", "/")
    # Nobody can put a file where a folder stands.
    direct.config_set("dbfilename", "proc")
    direct.config_set("save", "1 1")
    direct.set("x", 1)
    assert until(lambda: direct.info("persistence")["rdb_last_bgsave_status"] == "err", 20, 0.05)
    return url


def lonely(direct: Any, url: str) -> str:
    direct.config_set("min-replicas-to-write", 1)
    return url


def reader(direct: Any, url: str) -> str:
    rules = ("on", ">pw", "~*", "+@read", "+@connection", "+multi", "+exec")
    direct.execute_command("ACL", "SETUSER", "reader", *rules)
    return url.replace("redis://", "redis://reader:pw@")


@pytest.mark.parametrize("trouble", [full, replica, cannot_save, lonely, reader], ids=lambda trouble: trouble.__name__)
async def test_where_writes_are_refused_reads_are_hits(
    redis_server: RedisServer,
    direct: Any,
    connect: Callable[..., RankOnceCache],
    made: tuple[Entry, Bytes2D],
    trouble: Callable[[Any, str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await connect().write(KNOWN, *made)
    clock = Clock()
    cache = connect(trouble(direct, redis_server.url), clock)
    refused, errors = counted("heroserve_cache_writes_total", result="refused"), counted_errors()
    for new in range(4):
        async with cache.lease(f"{new:064d}"):
            pass
        assert not await cache.write(f"{new + 1:064d}", *made)
        entry = await cache.entry(KNOWN)
        assert entry is not None
        assert await cache.rows(KNOWN, entry, COUNTS) is not None
        clock.now += 0.9
    assert counted("heroserve_cache_writes_total", result="refused") == refused + 4
    assert counted_errors() == errors
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "refuses writes" in warnings[0]
    # One that can't save would not go when it is asked to.
    redis_server.kill()


def counted_errors() -> float:
    return counted("heroserve_cache_requests_total", result="error")


async def test_writes_that_are_refused_pause_and_go_on_by_themselves(
    direct: Any, redis_server: RedisServer, connect: Callable[..., RankOnceCache], made: tuple[Entry, Bytes2D]
) -> None:
    clock = Clock()
    cache = connect(full(direct, redis_server.url), clock)
    assert not await cache.write(KNOWN, *made)
    direct.config_set("maxmemory", 0)
    calls = direct.info("commandstats")["cmdstat_set"]["calls"]
    for _ in range(5):
        assert not await cache.write(KNOWN, *made)
        async with cache.lease(OTHER) as waited:
            assert not waited
    assert direct.info("commandstats")["cmdstat_set"]["calls"] == calls
    clock.now += 2.1
    assert await cache.write(KNOWN, *made)
    assert await cache.entry(KNOWN) is not None


HARM = {
    "meta is a list": lambda direct: (direct.delete(f"heroserve:id:{KNOWN}:meta"), direct.lpush(META, "x")),
    "rows are a hash": lambda direct: (direct.delete(ROWS), direct.hset(ROWS, "a", "b")),
}
META, ROWS, LEASE = (f"heroserve:id:{KNOWN}:{part}" for part in ("meta", "rows", "lease"))


@pytest.mark.parametrize("harm", HARM)
async def test_a_key_of_another_type_is_a_miss_of_one_image_and_is_rewritten(
    direct: Any, connect: Callable[..., RankOnceCache], made: tuple[Entry, Bytes2D], harm: str
) -> None:
    cache = connect()
    for name in (KNOWN, OTHER):
        assert await cache.write(name, *made)
    HARM[harm](direct)
    unusable, errors = counted("heroserve_cache_unusable_total"), counted_errors()
    entry = await cache.entry(KNOWN)
    assert entry is None or await cache.rows(KNOWN, entry, COUNTS) is None
    assert counted("heroserve_cache_unusable_total") == unusable + 1
    assert await cache.entry(OTHER) is not None
    assert await cache.write(KNOWN, *made)
    entry = await cache.entry(KNOWN)
    assert entry is not None
    assert await cache.rows(KNOWN, entry, COUNTS) is not None
    assert counted_errors() == errors


@pytest.mark.parametrize("put", ["a list", "without an end"])
async def test_a_lease_that_nobody_took_holds_nobody_up(
    direct: Any, connect: Callable[..., RankOnceCache], put: str
) -> None:
    direct.lpush(LEASE, "x") if put == "a list" else direct.set(LEASE, "")
    cache = connect()

    async def held() -> float:
        async with cache.lease(KNOWN):
            return float(direct.pttl(LEASE))

    assert await asyncio.wait_for(held(), 10) > 0


async def test_a_lease_that_was_not_had_is_not_ended(
    direct: Any, redis_server: RedisServer, connect: Callable[..., RankOnceCache], made: tuple[Entry, Bytes2D]
) -> None:
    cache = connect(full(direct, redis_server.url))
    assert not await cache.write(OTHER, *made)
    direct.config_set("maxmemory", 0)
    assert direct.set(LEASE, "", px=60_000, nx=True)
    async with cache.lease(KNOWN) as waited:
        assert not waited
    assert direct.exists(LEASE)


async def test_after_a_failover_the_name_leads_to_the_new_master(tmp_path: Path, made: tuple[Entry, Bytes2D]) -> None:
    with servers(tmp_path, 2) as (old, new):
        follow(new, old)
        master = [old.port]
        async with forwarded(master) as name:
            cache = RankOnceCache(RedisStore(f"redis://127.0.0.1:{name}/0", 60, 5.0), "id", Clock())
            try:
                assert await cache.write(KNOWN, *made)
                with redis.Redis(port=new.port) as there, redis.Redis(port=old.port) as here:
                    assert until(lambda: there.exists(META), 10, 0.02)
                    there.execute_command("REPLICAOF", "NO", "ONE")
                    here.execute_command("REPLICAOF", "127.0.0.1", str(new.port))
                    master[0] = new.port
                    # Old connections go on to the old one, which is read and takes no writes.
                    assert await cache.entry(KNOWN) is not None
                    assert await cache.write(OTHER, *made)
                    assert there.exists(f"heroserve:id:{OTHER}:meta")
                assert await cache.entry(KNOWN) is not None
            finally:
                await cache.close()


class TestReplies:
    """What there is to tell apart, as redis-py raises it."""

    @pytest.mark.parametrize("code", ["OOM", "READONLY", "MISCONF", "NOREPLICAS", "NOPERM"])
    async def test_refusals_of_writes(self, code: str) -> None:
        error = await raised(f"-{code} no\r\n")
        assert type(as_store_error(error, writing=True)) is WritesRefused
        in_pipeline = ResponseError(f"Command # 1 (SET k OOM LOADING) of pipeline caused error: ('{code} no',)")
        assert code != "OOM" or type(as_store_error(in_pipeline, writing=True)) is WritesRefused
        # Nobody was refused a write who only reads.
        assert type(as_store_error(error, writing=False)) is EntryRefused

    @pytest.mark.parametrize("code", ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "WRONGPASS"])
    async def test_answers_to_nobody(self, code: str) -> None:
        for writing in (True, False):
            assert type(as_store_error(await raised(f"-{code} no\r\n"), writing=writing)) is StoreError

    @pytest.mark.parametrize(
        "reply", ["WRONGTYPE Operation", "ERR string exceeds maximum allowed size", "SOMETHING new"]
    )
    async def test_anything_else_is_one_entrys(self, reply: str) -> None:
        for writing in (True, False):
            assert type(as_store_error(await raised(f"-{reply}\r\n"), writing=writing)) is EntryRefused

    @pytest.mark.parametrize(
        "reply", ["-ERR unknown command, with args beginning with: `s3cr3t`", "s3cr3t", "*x", "$x"]
    )
    async def test_what_was_sent_is_not_repeated(self, reply: str) -> None:
        async with answering(reply) as port:
            store = RedisStore(f"redis://127.0.0.1:{port}/0", 60, 0.3)
            works = (store.put("k", b"s3cr3t", b"s3cr3t"), store.meta("k"), store.ranges("k", [(0, 1), (1, 2)]))
            for told in await asyncio.gather(*works, return_exceptions=True):
                assert isinstance(told, StoreError)
                assert "s3cr3t" not in str(told)
                assert told.__suppress_context__
            await store.close()


def answering(reply: str) -> AbstractAsyncContextManager[int]:
    """A port where this is the answer to everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            writer.write(reply.encode() + b"\r\n")

    return listening(answer)


async def raised(reply: str) -> Exception:
    async with answering(reply.strip()) as port:
        client = redis.asyncio.Redis(port=port, socket_timeout=5, retry=None)
        try:
            await client.execute_command("PING")
        except redis.exceptions.RedisError as error:
            return error
        finally:
            await client.aclose()
    raise AssertionError("no error")


async def test_a_full_redis_that_is_asked_in_a_transaction_says_nothing_of_what_was_sent(
    direct: Any, redis_server: RedisServer
) -> None:
    full(direct, redis_server.url)
    store = RedisStore(redis_server.url, 60, 5.0)
    with pytest.raises(WritesRefused) as caught:
        await store.put("k", b"secret meta", b"secret rows")
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__
    await store.close()
