"""Several encoder replicas over one Redis: an image that all of them miss is encoded by one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

import pytest

from heroserve.v1.encoder_pb2 import VisualTokens
from scripts.redis_server import RedisServer
from services.common.budget import Retention
from services.encoder.cache import lease
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.job import EncodeJob
from services.encoder.pipeline import EncodePipeline, Mask, Tiles
from services.encoder.ranking.rank_images import rank_images
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import encode_pipeline
from tests.support.pictures import encoded, picture

DATA = encoded(picture(300, 200))
Replica = Callable[..., EncodePipeline]


class SlowTower:
    """The real tower, a quarter of a second late, counting."""

    def __init__(self, tower: VisionTower) -> None:
        self.calls = 0
        self.seconds = 0.25
        self.failures = 0
        self._tower = tower

    async def __call__(self, tiles: Tiles, mask: Mask) -> tuple[RankedImage, dict[str, float]]:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the accelerator fell over")
        return rank_images(self._tower.run(tiles), [mask], self._tower.hero)[0], {}


@pytest.fixture
async def stores(redis_server: RedisServer) -> AsyncIterator[Callable[[], RedisStore]]:
    """Opens connections of their own to one Redis; closes them."""
    opened: list[RedisStore] = []

    def connect() -> RedisStore:
        opened.append(RedisStore(redis_server.url, 60, 10.0))
        return opened[-1]

    yield connect
    for store in opened:
        await store.close()


@pytest.fixture
def replica(tower: VisionTower, tiler: AnyresTiler, stores: Callable[[], RedisStore]) -> Replica:
    """Makes pipelines that share a tower and nothing else but Redis."""

    def make(slow: SlowTower, depth: float = 1.0) -> EncodePipeline:
        return encode_pipeline(
            tower, tiler, cache=RankOnceCache(stores(), tower.encoder_id), cache_depth=depth, tower=slow
        )

    return make


def job(retention: float) -> EncodeJob:
    return EncodeJob(hashlib.sha256(DATA).hexdigest(), DATA, "What?", Retention(retention), False)


async def test_one_replica_encodes_for_all(tower: VisionTower, replica: Replica):
    slow = SlowTower(tower)
    replicas = [replica(slow) for _ in range(4)]
    retentions = [0.1, 0.4, 0.7, 1.0]
    answers = await asyncio.gather(*(r.visual_tokens(job(k)) for r, k in zip(replicas, retentions, strict=True)))
    assert slow.calls == 1
    assert [answer.cache for answer in answers] == [VisualTokens.MISS] * 4
    alone = await replica(slow).visual_tokens(job(0.4))
    assert alone.cache == VisualTokens.HIT
    assert alone.features == answers[1].features


async def test_a_replica_that_fails_hands_the_lease_on(tower: VisionTower, replica: Replica):
    slow = SlowTower(tower)
    slow.failures = 1
    replicas = [replica(slow) for _ in range(2)]
    outcomes = await asyncio.gather(*(r.visual_tokens(job(0.5)) for r in replicas), return_exceptions=True)
    assert slow.calls == 2
    assert sorted(isinstance(outcome, VisualTokens) for outcome in outcomes) == [False, True]


async def test_a_slow_pass_keeps_its_lease(tower: VisionTower, replica: Replica, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "_LEASE_S", 1.0)
    slow = SlowTower(tower)
    slow.seconds = 2.5
    replicas = [replica(slow) for _ in range(2)]
    await asyncio.gather(*(r.visual_tokens(job(0.5)) for r in replicas))
    assert slow.calls == 1


async def test_a_replica_that_dies_holds_nobody_up_for_long(
    tower: VisionTower, replica: Replica, stores: Callable[[], RedisStore]
):
    # Claimed, and never renewed or released.
    store = stores()
    assert await store.claim(f"{tower.encoder_id}:{job(1).digest}", 0.6)
    slow = SlowTower(tower)
    answer = await asyncio.wait_for(replica(slow).visual_tokens(job(0.5)), 60)
    assert answer.cache == VisualTokens.MISS
    assert slow.calls == 1


async def test_patience_ends(
    tower: VisionTower, replica: Replica, stores: Callable[[], RedisStore], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lease, "_PATIENCE_S", 0.3)
    store = stores()
    key = f"{tower.encoder_id}:{job(1).digest}"
    assert await store.claim(key, 60)
    slow = SlowTower(tower)
    answer = await asyncio.wait_for(replica(slow).visual_tokens(job(0.5)), 60)
    assert (answer.cache, slow.calls) == (VisualTokens.MISS, 1)
    # The lease is its holder's still.
    assert not await store.claim(key, 1)


async def test_a_shallow_cache_does_not_starve_a_deep_request(tower: VisionTower, replica: Replica):
    slow = SlowTower(tower)
    replicas = [replica(slow, depth=0.3) for _ in range(2)]
    answers = await asyncio.gather(replicas[0].visual_tokens(job(0.1)), replicas[1].visual_tokens(job(1.0)))
    assert answers[1].savings.dropped == 0
    assert answers[0].savings.kept < answers[1].savings.kept


async def test_who_waits_for_anothers_lease_leaves_it_whenever_nobody_waits_for_him(stores: Callable[[], RedisStore]):
    store = stores()
    assert await store.claim("encoder:image", 60)
    cache = RankOnceCache(stores(), "encoder")

    async def hold() -> None:
        async with cache.lease("image"):
            pass

    for number in range(100):
        waiting = asyncio.create_task(hold())
        # Between two commands, or within one: 20 ms and something.
        await asyncio.sleep(0.02 + number * 0.0004)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=10)
        assert waiting.cancelled(), number
    # It is its holder's still.
    assert not await store.claim("encoder:image", 1)


async def test_a_lease_that_comes_when_nobody_waits_any_more_is_given_back(stores: Callable[[], RedisStore]):
    store = stores()
    cache = RankOnceCache(stores(), "encoder")

    async def hold() -> None:
        async with cache.lease("image"):
            await asyncio.sleep(60)

    for number in range(40):
        holding = asyncio.create_task(hold())
        await asyncio.sleep(number * 0.00005)
        holding.cancel()
        await asyncio.wait({holding}, timeout=10)
        assert holding.cancelled(), number
        assert await store.claim("encoder:image", 60), number
        await store.release("encoder:image")
