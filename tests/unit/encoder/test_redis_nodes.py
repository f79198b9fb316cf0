"""The cache over a real cluster, and over whoever a real Sentinel says is master."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from scripts.redis_server import RedisServer
from services.common.rows import Bytes2D
from services.encoder.cache.entry import Entry, build_entry
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.cache.store import EntryRefused, StoreError
from tests.support.encoder_parts import GRID, Clock, random_image
from tests.support.redis_nodes import cluster, follow, sentinel, servers, wait_for_replica

COUNTS = [3, 0, 2, 1, 4]
DIGESTS = [f"{number:064d}" for number in range(12)]


@pytest.fixture(scope="module")
def made() -> tuple[Entry, Bytes2D]:
    return build_entry(GRID, random_image(GRID), 1.0)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def url(nodes: list[RedisServer]) -> str:
    return f"redis+cluster://127.0.0.1:{nodes[1].port},127.0.0.1:{nodes[2].port}"


class TestCluster:
    async def test_entries_lie_whole_on_their_nodes(
        self, nodes: list[RedisServer], url: str, made: tuple[Entry, Bytes2D]
    ) -> None:
        cache = RankOnceCache(RedisStore(url, 60, 5.0), "id", Clock())
        for digest in DIGESTS:
            async with cache.lease(digest) as waited:
                assert not waited
                assert await cache.write(digest, *made)
        for digest in DIGESTS:
            entry = await cache.entry(digest)
            assert entry is not None
            assert await cache.rows(digest, entry, COUNTS) is not None
        await cache.close()
        held = []
        for node in nodes:
            with Redis(port=node.port) as client:
                held.append({name.decode() for name in client.scan_iter()})
                assert all(client.ttl(name) > 0 for name in held[-1])
        assert set().union(*held) == {
            f"heroserve:{{id:{digest}}}:{part}" for digest in DIGESTS for part in ("meta", "rows")
        }
        assert sum(map(len, held)) == 2 * len(DIGESTS)
        assert min(map(len, held)) > 0

    async def test_leases_are_one_holders(self, url: str) -> None:
        one, other = RedisStore(url, 60, 5.0), RedisStore(url, 60, 5.0)
        assert [await one.claim("k", 60), await other.claim("k", 60)] == [True, False]
        await one.renew("k", 60)
        await one.release("k")
        assert await other.claim("k", 60)
        await other.release("k")
        await one.close()
        await other.close()

    async def test_a_key_of_another_type_is_one_entrys(self, nodes: list[RedisServer], url: str) -> None:
        store = RedisStore(url, 60, 5.0)
        assert await store.put("typed", b"m", b"r")
        for node in nodes:
            with Redis(port=node.port) as client:
                if client.keys("*{typed}:meta"):
                    client.delete("heroserve:{typed}:meta")
                    client.lpush("heroserve:{typed}:meta", "x")
        with pytest.raises(EntryRefused):
            await store.meta("typed")
        assert await store.put("typed", b"m2", b"r")
        assert await store.meta("typed") == b"m2"
        await store.close()

    async def test_a_cancelled_or_late_read_leaves_no_answer_behind(self, nodes: list[RedisServer], url: str) -> None:
        store = RedisStore(url, 60, 1.0)
        for number in range(6):
            await store.put(f"c{number}", f"of c{number}".encode(), b"")
        for node in nodes:
            node.freeze()
        reading = asyncio.create_task(store.meta("c0"))
        await asyncio.sleep(0.05)
        reading.cancel()
        started = time.perf_counter()
        late = await asyncio.gather(*(store.meta(f"c{number}") for number in range(6)), return_exceptions=True)
        assert all(isinstance(one, StoreError) for one in late)
        assert time.perf_counter() - started < 1.9
        with pytest.raises(asyncio.CancelledError):
            await reading
        for node in nodes:
            node.thaw()
        for number in range(6):
            assert await store.meta(f"c{number}") == f"of c{number}".encode()
        await store.close()

    async def test_slots_that_move_are_followed(self, nodes: list[RedisServer], url: str) -> None:
        store = RedisStore(url, 60, 5.0)
        assert await store.put("moved", b"m", b"rows")
        with Redis(port=nodes[0].port) as client:
            slot = client.execute_command("CLUSTER", "KEYSLOT", "{moved}")
        ids = {}
        for node in nodes:
            with Redis(port=node.port) as client:
                ids[node.port] = client.execute_command("CLUSTER", "MYID")
                if client.keys("*{moved}*"):
                    source = node
        target = next(node for node in nodes if node is not source)
        # As a real resharding ends, with nothing left to take along.
        for node in (target, *(node for node in nodes if node not in (source, target))):
            with Redis(port=node.port) as client:
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
        with Redis(port=source.port) as client:
            client.delete(*client.keys("*{moved}*"))
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
        assert await store.meta("moved") is None
        assert await store.put("moved", b"m", b"rows")
        assert await store.ranges("moved", [(0, 2), (2, 4)]) == [b"ro", b"ws"]
        with Redis(port=target.port) as client:
            assert client.get("heroserve:{moved}:meta") == b"m"
        await store.close()


async def test_a_node_that_is_gone_takes_no_others_entries_with_it(tmp_path: Path, made: tuple[Entry, Bytes2D]) -> None:
    with cluster(tmp_path, 2, {"cluster-require-full-coverage": "no"}) as (one, other):
        cache = RankOnceCache(RedisStore(f"redis+cluster://127.0.0.1:{one.port}", 60, 5.0), "id", Clock())
        for digest in DIGESTS:
            assert await cache.write(digest, *made)
        with Redis(port=one.port) as client:
            names = {name.decode() for name in client.scan_iter()}
            held = [digest for digest in DIGESTS if f"heroserve:{{id:{digest}}}:meta" in names]
        lost = [digest for digest in DIGESTS if digest not in held]
        assert held
        assert lost
        other.kill()
        for _ in range(2):
            assert [await cache.entry(digest) for digest in lost] == [None] * len(lost)
            assert not await cache.write(lost[0], *made)
            for digest in held:
                assert await cache.entry(digest) is not None
                assert await cache.write(digest, *made)
        await cache.close()


async def test_a_sentinel_says_who_is_master_after_a_failover(tmp_path: Path, made: tuple[Entry, Bytes2D]) -> None:
    with servers(tmp_path, 2) as (old, new):
        follow(new, old)
        with sentinel(tmp_path, old, "mine") as port:
            wait_for_replica(port, "mine")
            clock = Clock()
            store = RedisStore(f"redis+sentinel://127.0.0.1:{port}/mine", 60, 5.0)
            await store.check()
            cache = RankOnceCache(store, "id", clock)
            assert await cache.write(DIGESTS[0], *made)
            old.kill()
            assert await cache.entry(DIGESTS[0]) is None
            deadline = time.monotonic() + 30
            with Redis(port=new.port) as promoted:
                while not promoted.exists(f"heroserve:id:{DIGESTS[1]}:meta"):
                    assert time.monotonic() < deadline
                    clock.now += 3
                    await cache.write(DIGESTS[1], *made)
                    await asyncio.sleep(0.05)
            assert await cache.entry(DIGESTS[0]) is not None
            await cache.close()
