"""A Redis that refuses writes still answers reads; after a failover the cache finds the server that takes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from scripts.redis_server import RedisServer, free_port
from services.encoder.cache.entry import build_entry
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from tests.support.encoder_parts import GRID, Clock, random_image

ENTRY = build_entry(GRID, random_image(GRID), 1.0)
KNOWN = "0" * 64


def full(direct: Any, url: str) -> str:
    direct.config_set("maxmemory-policy", "noeviction")
    direct.config_set("maxmemory", direct.info("memory")["used_memory"] + 100)
    return url


def replica(direct: Any, url: str) -> str:
    direct.execute_command("REPLICAOF", "127.0.0.1", "1")
    return url


def no_replicas(direct: Any, url: str) -> str:
    direct.config_set("min-replicas-to-write", 1)
    return url


def reader(direct: Any, url: str) -> str:
    direct.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "+multi", "+exec")
    return url.replace("redis://", "redis://reader:pw@")


@pytest.fixture
def direct(redis_server: RedisServer) -> Any:
    with redis.Redis(port=redis_server.port) as client:
        yield client


@pytest.mark.parametrize("trouble", [full, replica, no_replicas, reader], ids=lambda trouble: trouble.__name__)
async def test_reads_stay_hits(
    redis_server: RedisServer, direct: Any, trouble: Callable[[Any, str], str], caplog: pytest.LogCaptureFixture
) -> None:
    before = RankOnceCache(RedisStore(redis_server.url, 100, 5.0), "id")
    assert await before.write(KNOWN, *ENTRY)
    clock = Clock()
    cache = RankOnceCache(RedisStore(trouble(direct, redis_server.url), 100, 5.0), "id", clock)
    with caplog.at_level(logging.INFO):
        for new in range(4):
            async with cache.lease(f"{new:064d}") as waited:
                assert not waited
            assert not await cache.write(f"{new + 1:064d}", *ENTRY)
            found = await cache.whole(KNOWN)
            assert found is not None
            assert (found[1] == ENTRY[1]).all()
            clock.now += 1.5
    told = [record.message for record in caplog.records if "refuses writes" in record.message]
    assert len(told) == 1
    await before.close()
    await cache.close()


async def test_what_refused_writes_is_tried_again(redis_server: RedisServer, direct: Any) -> None:
    clock = Clock()
    cache = RankOnceCache(RedisStore(redis_server.url, 100, 5.0), "id", clock)
    no_replicas(direct, "")
    assert not await cache.write(KNOWN, *ENTRY)
    direct.config_set("min-replicas-to-write", 0)
    assert not await cache.write(KNOWN, *ENTRY)  # left alone for a while
    clock.now += 2.1
    assert await cache.write(KNOWN, *ENTRY)
    await cache.close()


class Name:
    """What leads to whoever is master when a connection is made."""

    def __init__(self, master: RedisServer) -> None:
        self.master = master
        self.port = free_port()

    async def serve(self) -> asyncio.Server:
        return await asyncio.start_server(self._forward, "127.0.0.1", self.port)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.master.port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
            target.close()

        await asyncio.gather(pump(reader, to_writer), pump(to_reader, writer), return_exceptions=True)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    servers = RedisServer(free_port(), tmp_path), RedisServer(free_port(), tmp_path)
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.kill()


async def test_after_a_failover_the_new_master_is_written_to(two: tuple[RedisServer, RedisServer]) -> None:
    old, new = two
    name = Name(old)
    async with await name.serve():
        clock = Clock()
        cache = RankOnceCache(RedisStore(f"redis://127.0.0.1:{name.port}/0", 100, 5.0), "id", clock)
        assert await cache.write(KNOWN, *ENTRY)
        name.master = new
        with redis.Redis(port=old.port) as client:
            client.execute_command("REPLICAOF", "127.0.0.1", str(new.port))
        assert not await cache.write("1" * 64, *ENTRY)
        clock.now += 2.1
        assert await cache.write("1" * 64, *ENTRY)
        with redis.Redis(port=new.port) as client:
            assert client.exists(f"heroserve:id:{'1' * 64}:meta")
        await cache.close()
