"""Several encoder replicas over one Redis: an image that all of them miss is encoded by one."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from heroserve.v1.encoder_pb2 import VisualTokens
from scripts.redis_server import RedisServer
from services.common.budget import Retention
from services.encoder.cache import lease
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.images.decode import ImageLimits
from services.encoder.job import EncodeJob
from services.encoder.pipeline import EncodePipeline, Mask, Tiles
from services.encoder.ranking.rank_images import rank_images
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.support.pictures import encoded, picture

DATA = encoded(picture(300, 200))


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


def replica(tower: VisionTower, tiler: AnyresTiler, slow: SlowTower, server: RedisServer, depth: float = 1.0):
    return EncodePipeline(
        encoder_id=tower.encoder_id,
        tiler=tiler,
        limits=ImageLimits(10**7, 10**8),
        hero=tower.hero,
        cache=RankOnceCache(RedisStore(server.url, 60, 1.0), tower.encoder_id),
        cache_depth=depth,
        tower=slow,
        embedder=None,
    )


def job(retention: float) -> EncodeJob:
    return EncodeJob(hashlib.sha256(DATA).hexdigest(), DATA, "What?", Retention(retention), False)


async def test_one_replica_encodes_for_all(tower: VisionTower, tiler: AnyresTiler, redis_server: RedisServer):
    slow = SlowTower(tower)
    replicas = [replica(tower, tiler, slow, redis_server) for _ in range(4)]
    retentions = [0.1, 0.4, 0.7, 1.0]
    answers = await asyncio.gather(*(r.visual_tokens(job(k)) for r, k in zip(replicas, retentions, strict=True)))
    assert slow.calls == 1
    assert [answer.cache for answer in answers] == [VisualTokens.MISS] * 4
    alone = await replica(tower, tiler, slow, redis_server).visual_tokens(job(0.4))
    assert alone.cache == VisualTokens.HIT
    assert alone.features == answers[1].features


async def test_a_replica_that_fails_hands_the_lease_on(
    tower: VisionTower, tiler: AnyresTiler, redis_server: RedisServer
):
    slow = SlowTower(tower)
    slow.failures = 1
    replicas = [replica(tower, tiler, slow, redis_server) for _ in range(2)]
    outcomes = await asyncio.gather(*(r.visual_tokens(job(0.5)) for r in replicas), return_exceptions=True)
    assert slow.calls == 2
    assert sorted(isinstance(outcome, VisualTokens) for outcome in outcomes) == [False, True]


async def test_a_slow_pass_keeps_its_lease(
    tower: VisionTower, tiler: AnyresTiler, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lease, "_LEASE_S", 0.3)
    slow = SlowTower(tower)
    slow.seconds = 1.2
    replicas = [replica(tower, tiler, slow, redis_server) for _ in range(2)]
    await asyncio.gather(*(r.visual_tokens(job(0.5)) for r in replicas))
    assert slow.calls == 1


async def test_a_replica_that_dies_holds_nobody_up_for_long(
    tower: VisionTower, tiler: AnyresTiler, redis_server: RedisServer
):
    # Claimed, and never renewed or released.
    store = RedisStore(redis_server.url, 60, 1.0)
    assert await store.claim(f"{tower.encoder_id}:{job(1).digest}", 0.6)
    slow = SlowTower(tower)
    answer = await asyncio.wait_for(replica(tower, tiler, slow, redis_server).visual_tokens(job(0.5)), 5)
    assert answer.cache == VisualTokens.MISS
    assert slow.calls == 1


async def test_patience_ends(
    tower: VisionTower, tiler: AnyresTiler, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lease, "_PATIENCE_S", 0.3)
    store = RedisStore(redis_server.url, 60, 1.0)
    key = f"{tower.encoder_id}:{job(1).digest}"
    assert await store.claim(key, 60)
    slow = SlowTower(tower)
    answer = await asyncio.wait_for(replica(tower, tiler, slow, redis_server).visual_tokens(job(0.5)), 5)
    assert (answer.cache, slow.calls) == (VisualTokens.MISS, 1)
    # The lease is its holder's still.
    assert not await store.claim(key, 1)


async def test_a_shallow_cache_does_not_starve_a_deep_request(
    tower: VisionTower, tiler: AnyresTiler, redis_server: RedisServer
):
    slow = SlowTower(tower)
    replicas = [replica(tower, tiler, slow, redis_server, depth=0.3) for _ in range(2)]
    answers = await asyncio.gather(replicas[0].visual_tokens(job(0.1)), replicas[1].visual_tokens(job(1.0)))
    assert answers[1].savings.dropped == 0
    assert answers[0].savings.kept < answers[1].savings.kept
