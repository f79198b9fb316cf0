"""From a request to its tokens with the real tower: what is kept, why, and the same from the cache."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis
import torch

from heroserve.v1.encoder_pb2 import VisualTokens
from scripts.redis_server import RedisServer, free_port
from services.common import context
from services.common.budget import Budget, MaxVisualTokens, Retention
from services.common.checkpoint import Checkpoint
from services.common.context import RequestContext
from services.common.errors import DeadlineExceeded, InvalidArgument, NotFound
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.cache.store import Store
from services.encoder.hero import (
    HeroConfig,
    allocate,
    importance_terms,
    order_tiles,
    patch_scores,
    saliency_cosines,
    tile_importance,
    token_budget,
)
from services.encoder.job import EncodeJob
from services.encoder.parts import open_tower
from services.encoder.pipeline import EncodePipeline
from services.encoder.relevance.questions import QuestionEmbedder
from services.encoder.response import grid_message
from services.encoder.settings import EncoderSettings
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.reference import Reference
from tests.support.encoder_parts import InProcessTower, counted, decoders, encode_pipeline
from tests.support.pictures import encoded, picture

N = 64
SIZES = ((300, 200), (150, 333), (500, 100), (112, 112), (4, 100), (100, 4))
DATA = encoded(picture(*SIZES[0]))
QUESTIONS = ("What number is on the sign?", "read the text")
BUDGETS: tuple[Budget, ...] = (
    Retention(0.2),
    Retention(0.29),
    Retention(0.005),
    Retention(1.0),
    MaxVisualTokens(1),
    MaxVisualTokens(77),
    MaxVisualTokens(10**6),
)
Make = Callable[..., EncodePipeline]


@pytest.fixture(scope="session")
def embedder(untrained: str) -> QuestionEmbedder:
    return QuestionEmbedder(Checkpoint(f"{untrained}/clip", "HEROSERVE_RELEVANCE_MODEL"))


@pytest.fixture
def within(tower: VisionTower) -> InProcessTower:
    return InProcessTower(tower)


@pytest.fixture
def make(tower: VisionTower, tiler: AnyresTiler, embedder: QuestionEmbedder, within: InProcessTower) -> Make:
    def make(store: Store | None = None, *, depth: float = 1.0, **changes: Any) -> EncodePipeline:
        parts: dict[str, Any] = {
            "cache": RankOnceCache(store or MemoryStore(1 << 26, 60), tower.encoder_id),
            "cache_depth": depth,
            "tower": within,
            "embedder": embedder,
        }
        return encode_pipeline(tower, tiler, **(parts | changes))

    return make


def job(
    data: bytes | None = DATA,
    question: str = QUESTIONS[0],
    *,
    digest: str = "",
    explain: bool = False,
    budget: Budget = BUDGETS[0],
) -> EncodeJob:
    digest = digest or hashlib.sha256(data or b"").hexdigest()
    return EncodeJob(digest, data, question, budget, explain)


def substance(tokens: VisualTokens) -> bytes:
    """All but where it came from and how long that took."""
    bare = VisualTokens()
    bare.CopyFrom(tokens)
    bare.ClearField("cache")
    bare.ClearField("timings")
    return bare.SerializeToString(deterministic=True)


def by_hand(
    tower: VisionTower,
    tiler: AnyresTiler,
    question: np.ndarray | None,
    size: tuple[int, int],
    hero: HeroConfig,
    budget: Budget,
) -> tuple[list[list[int]], torch.Tensor]:
    """Kept positions of each tile and importance, by the hero functions one after the other."""
    grid = tiler.grid(*size)
    masks = torch.from_numpy(grid.valid())
    output = tower.run(tiler.cut(picture(*size), grid))
    order = order_tiles(patch_scores(output.cls_attention, hero), output.features, masks, hero)
    valid = masks.sum(dim=1)
    cosines = None if question is None else output.embedding[1:] @ torch.from_numpy(question)
    importance = tile_importance(saliency_cosines(output.cls), cosines, valid[1:], N, hero)
    asked = {"retention": budget.share} if isinstance(budget, Retention) else {"max_tokens": budget.count}
    tokens = token_budget(valid.tolist(), N, hero, **asked)
    counts = [tokens.thumbnail, *allocate(importance, valid[1:], tokens.local, hero).tolist()]
    kept = [sorted(positions[:count].tolist()) for positions, count in zip(order, counts, strict=True)]
    return kept, importance


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("budget", BUDGETS, ids=str)
async def test_kept_tokens(
    make: Make,
    tower: VisionTower,
    tiler: AnyresTiler,
    embedder: QuestionEmbedder,
    reference: Reference,
    size: tuple[int, int],
    budget: Budget,
) -> None:
    tokens = await make().visual_tokens(job(encoded(picture(*size)), budget=budget))
    question = embedder.embed(QUESTIONS[0])
    kept, importance = by_hand(tower, tiler, question, size, tower.hero, budget)

    assert [list(tile.positions) for tile in tokens.tiles] == kept
    assert [tile.index for tile in tokens.tiles] == list(range(len(kept)))
    assert [tile.importance for tile in tokens.tiles] == pytest.approx([0, *importance.tolist()], abs=1e-5)
    assert all(list(tile.positions) == sorted(set(tile.positions)) for tile in tokens.tiles)

    grid, message = tiler.grid(*size), tokens.grid
    assert (message.rows, message.cols, message.patches_per_side) == (grid.rows, grid.cols, grid.side)
    assert (message.image_width, message.image_height) == size
    window = message.window
    assert (window.top, window.bottom, window.left, window.right) == (grid.top, grid.bottom, grid.left, grid.right)
    assert [tile.valid for tile in tokens.tiles] == grid.valid().sum(axis=1).tolist()

    features = reference.tile_features(picture(*size))
    expected = torch.cat([features[tile, positions] for tile, positions in enumerate(kept)])
    assert (tokens.features.rows, tokens.features.cols) == expected.shape
    assert tokens.features.dtype == tokens.features.FLOAT32
    rows = torch.from_numpy(np.frombuffer(tokens.features.data, "<f4").reshape(expected.shape).copy())
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-4)

    total = int(grid.valid().sum())
    savings = tokens.savings
    assert (savings.total, savings.kept, savings.dropped) == (total, len(expected), total - len(expected))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("retention", [0.005, 0.1, 0.2, 0.29, 0.58, 0.999, 1.0])
async def test_budget_by_retention(make: Make, tiler: AnyresTiler, size: tuple[int, int], retention: float) -> None:
    tokens = await make().visual_tokens(job(encoded(picture(*size)), budget=Retention(retention)))
    valid = tiler.grid(*size).valid()
    kept = [len(tile.positions) for tile in tokens.tiles]
    assert kept[0] == max(1, math.floor(round(N * retention, 6)))
    assert sum(kept[1:]) == math.floor(round(int(valid[1:].sum()) * retention, 6))


@pytest.mark.parametrize("max_tokens", [1, 2, 77, 200, 10**6])
async def test_budget_by_tokens_is_spent_exactly(make: Make, max_tokens: int) -> None:
    tokens = await make().visual_tokens(job(budget=MaxVisualTokens(max_tokens)))
    assert tokens.savings.kept == min(max_tokens, tokens.savings.total)
    assert len(tokens.tiles[0].positions) >= 1


async def test_more_rows_than_an_answer_holds_are_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    row = 64 * 4
    monkeypatch.setattr("services.encoder.plan._MAX_ROW_BYTES", 30 * row + 1)
    pipeline = make()
    tokens = await pipeline.visual_tokens(job(budget=MaxVisualTokens(30)))
    assert tokens.savings.kept == 30
    told = f"budget: keeps 31 visual tokens of {row} bytes each; an answer holds 30 of them at most. "
    for data in (DATA, encoded(picture(50, 333))):  # one that is cached, one that is not
        with pytest.raises(InvalidArgument) as refused:
            await pipeline.visual_tokens(job(data, budget=MaxVisualTokens(31)))
        assert str(refused.value).startswith(told)
    # Of a plan there are no rows.
    plan = replace(job(budget=MaxVisualTokens(31)), plan_only=True)
    assert (await pipeline.visual_tokens(plan)).savings.kept == 31


async def test_a_thin_picture_is_found_again(make: Make, tiler: AnyresTiler) -> None:
    """Its window is empty: the thumbnail is all that it has."""
    data = encoded(picture(400, 2))
    assert not tiler.grid(400, 2).valid()[1:].any()
    pipeline = make()
    first, second = [await pipeline.visual_tokens(job(data, budget=Retention(0.5))) for _ in range(2)]
    assert (first.cache, second.cache) == (VisualTokens.MISS, VisualTokens.HIT)
    assert substance(first) == substance(second)


async def test_all_of_it(make: Make, tiler: AnyresTiler) -> None:
    for size in SIZES:
        tokens = await make().visual_tokens(job(encoded(picture(*size)), budget=Retention(1.0)))
        expected = [np.flatnonzero(mask).tolist() for mask in tiler.grid(*size).valid()]
        assert [list(tile.positions) for tile in tokens.tiles] == expected
        assert tokens.savings.dropped == 0


@pytest.mark.parametrize("retention", [0.2, 0.001, 1.0])
async def test_the_authors_rules(
    untrained: str, make: Make, tiler: AnyresTiler, embedder: QuestionEmbedder, retention: float
) -> None:
    """Down to an image of which nothing is kept."""
    tower = open_tower(EncoderSettings(model=untrained, hero="reference"))
    within = InProcessTower(tower)
    cache = RankOnceCache(MemoryStore(1 << 26, 60), tower.encoder_id)
    pipeline = make(encoder_id=tower.encoder_id, hero=tower.hero, tower=within, cache=cache)
    kept, _ = by_hand(tower, tiler, embedder.embed(QUESTIONS[0]), SIZES[0], tower.hero, Retention(retention))
    for expected in (VisualTokens.MISS, VisualTokens.HIT):
        tokens = await pipeline.visual_tokens(job(budget=Retention(retention)))
        assert tokens.cache == expected
        assert [list(tile.positions) for tile in tokens.tiles] == kept
        assert len(kept[0]) == int(N * retention)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_hit_is_the_miss_again(
    make: Make, within: InProcessTower, redis_server: RedisServer, kind: str
) -> None:
    """Whatever question and budget an image was first seen with."""
    fresh = {}
    for question in QUESTIONS:
        for budget in BUDGETS:
            tokens = await make().visual_tokens(job(question=question, budget=budget))
            assert tokens.cache == VisualTokens.MISS
            fresh[question, str(budget)] = tokens
    assert len({substance(tokens) for tokens in fresh.values()}) > len(BUDGETS)

    store = MemoryStore(1 << 26, 60) if kind == "memory" else RedisStore(redis_server.url, 60, 5.0)
    pipeline = make(store)
    await pipeline.visual_tokens(job(question="something else", budget=Retention(0.01)))
    calls = within.calls
    for question in QUESTIONS:
        for budget in BUDGETS:
            for data in (DATA, None):
                digest = hashlib.sha256(DATA).hexdigest()
                tokens = await pipeline.visual_tokens(job(data, question, digest=digest, budget=budget))
                assert tokens.cache == VisualTokens.HIT
                assert substance(tokens) == substance(fresh[question, str(budget)])
    assert within.calls == calls
    await store.close()


async def test_every_answer_is_of_the_checkpoint_that_gives_it(make: Make) -> None:
    """Whoever cached the rows: two tuned ones with one tower have the same, and no entry names either."""
    store = MemoryStore(1 << 26, 60)
    for checkpoint, cache in (("digest:0-0", VisualTokens.MISS), ("digest:0-1", VisualTokens.HIT)):
        pipeline = make(store, model=f"model of {checkpoint}", checkpoint=checkpoint)
        tokens = await pipeline.visual_tokens(job())
        assert (tokens.cache, tokens.checkpoint, tokens.model) == (cache, checkpoint, f"model of {checkpoint}")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
async def test_rows_travel_in_the_towers_dtype(untrained: str, make: Make, tiler: AnyresTiler, dtype: str) -> None:
    tower = open_tower(EncoderSettings(model=untrained, dtype=dtype))
    cache = RankOnceCache(MemoryStore(1 << 26, 60), tower.encoder_id)
    pipeline = make(encoder_id=tower.encoder_id, tower=InProcessTower(tower), cache=cache)
    miss, hit = [await pipeline.visual_tokens(job(budget=Retention(0.5))) for _ in range(2)]
    assert (miss.cache, hit.cache) == (VisualTokens.MISS, VisualTokens.HIT)
    assert substance(miss) == substance(hit)
    sent = miss.features
    assert sent.dtype == {"bfloat16": sent.BFLOAT16, "float16": sent.FLOAT16}[dtype]
    assert len(sent.data) == sent.rows * sent.cols * 2
    rows = torch.frombuffer(bytearray(sent.data), dtype=getattr(torch, dtype)).view(sent.rows, sent.cols)
    features = tower.run(tiler.cut(picture(*SIZES[0]), tiler.grid(*SIZES[0]))).features
    assert torch.equal(rows, torch.cat([features[t.index, list(t.positions)] for t in miss.tiles]))


async def test_questions_move_tokens_between_tiles(make: Make) -> None:
    pipeline = make()
    answers = [await pipeline.visual_tokens(job(question=question, budget=Retention(0.3))) for question in QUESTIONS]
    counts = [[len(tile.positions) for tile in tokens.tiles] for tokens in answers]
    assert counts[0] != counts[1]
    assert counts[0][0] == counts[1][0]
    assert sum(counts[0]) == sum(counts[1])


async def test_explanation(make: Make, tower: VisionTower, tiler: AnyresTiler, embedder: QuestionEmbedder) -> None:
    tokens = await make().visual_tokens(job(explain=True))
    grid = tiler.grid(*SIZES[0])
    output = tower.run(tiler.cut(picture(*SIZES[0]), grid))
    cosines = output.embedding[1:] @ torch.from_numpy(embedder.embed(QUESTIONS[0]))
    valid = torch.from_numpy(grid.valid()[1:].sum(axis=1))
    terms = importance_terms(saliency_cosines(output.cls), cosines, valid, N, tower.hero)
    for name, expected in zip(("saliency", "relevance", "density"), terms, strict=True):
        told = [getattr(tile.explanation, name) for tile in tokens.tiles[1:]]
        assert told == pytest.approx(expected.tolist(), abs=1e-5)
        assert sum(told) == pytest.approx(1, abs=1e-4)
    assert tokens.grid == grid_message(grid, tiler.place(grid))
    assert not tokens.tiles[0].HasField("explanation")
    assert tokens.tiles[0].importance == 0
    silent = await make().visual_tokens(job())
    assert not any(tile.HasField("explanation") for tile in silent.tiles)


async def test_without_a_relevance_model(untrained: str, make: Make, tiler: AnyresTiler) -> None:
    tower = open_tower(EncoderSettings(model=untrained, relevance_model="none"))
    cache = RankOnceCache(MemoryStore(1 << 26, 60), tower.encoder_id)
    pipeline = make(encoder_id=tower.encoder_id, tower=InProcessTower(tower), cache=cache, embedder=None)
    kept, importance = by_hand(tower, tiler, None, SIZES[0], tower.hero, Retention(0.2))
    for question in QUESTIONS:
        tokens = await pipeline.visual_tokens(job(question=question, explain=True))
        assert [list(tile.positions) for tile in tokens.tiles] == kept
        assert [tile.importance for tile in tokens.tiles[1:]] == pytest.approx(importance.tolist(), abs=1e-5)
        assert {tile.explanation.relevance for tile in tokens.tiles[1:]} == {0}


class TestDigests:
    async def test_unknown(self, make: Make, within: InProcessTower) -> None:
        with pytest.raises(NotFound, match=r"image\.digest: .*send image\.data"):
            await make().visual_tokens(job(None, digest="0" * 64))
        assert within.calls == 0

    async def test_another_image(self, make: Make) -> None:
        pipeline = make()
        await pipeline.visual_tokens(job())
        with pytest.raises(NotFound):
            await pipeline.visual_tokens(job(None, digest="0" * 64))

    async def test_forgotten(self, make: Make) -> None:
        store = MemoryStore(1 << 26, 60)
        pipeline = make(store)
        tokens = await pipeline.visual_tokens(job())
        await store.close()
        with pytest.raises(NotFound):
            await pipeline.visual_tokens(job(None, digest=tokens.image_digest))

    async def test_store_out_of_reach(self, make: Make) -> None:
        store = RedisStore(f"redis://127.0.0.1:{free_port()}", 60, 0.3)
        with pytest.raises(NotFound):
            await make(store).visual_tokens(job(None, digest="0" * 64))


class TestDepth:
    async def test_within_and_beyond(self, make: Make, within: InProcessTower) -> None:
        full, pipeline = make(), make(depth=0.5)
        first = await pipeline.visual_tokens(job(budget=MaxVisualTokens(20)))
        assert first.cache == VisualTokens.MISS
        within.calls = 0

        again = await pipeline.visual_tokens(job(budget=MaxVisualTokens(20)))
        assert again.cache == VisualTokens.HIT
        assert substance(again) == substance(first)

        whole = await pipeline.visual_tokens(job(budget=Retention(1.0)))
        assert whole.cache == VisualTokens.MISS
        assert within.calls == 1
        assert substance(whole) == substance(await full.visual_tokens(job(budget=Retention(1.0))))
        assert whole.savings.dropped == 0

    async def test_a_digest_alone_beyond(self, make: Make) -> None:
        pipeline = make(depth=0.5)
        digest = (await pipeline.visual_tokens(job(budget=MaxVisualTokens(20)))).image_digest
        assert (
            await pipeline.visual_tokens(job(None, digest=digest, budget=MaxVisualTokens(20)))
        ).cache == VisualTokens.HIT
        with pytest.raises(NotFound, match="at the depth this budget needs"):
            await pipeline.visual_tokens(job(None, digest=digest, budget=Retention(1.0)))

    async def test_only_that_much_is_stored(self, make: Make) -> None:
        stores = [MemoryStore(1 << 26, 60) for _ in range(2)]
        for store, depth in zip(stores, (1.0, 0.25), strict=True):
            await make(store, depth=depth).visual_tokens(job())
        rows = [len(next(iter(store._entries.values()))[2]) for store in stores]
        assert rows[1] == pytest.approx(rows[0] / 4, rel=0.05)


class TestStore:
    async def test_dead(self, make: Make, redis_server: RedisServer, within: InProcessTower) -> None:
        expected = substance(await make().visual_tokens(job()))
        store = RedisStore(redis_server.url, 60, 0.3)
        pipeline = make(store)
        redis_server.kill()
        for _ in range(2):
            tokens = await pipeline.visual_tokens(job())
            assert tokens.cache == VisualTokens.BYPASS
            assert substance(tokens) == expected
        await store.close()

    async def test_hanging(self, make: Make, redis_server: RedisServer) -> None:
        waits: list[str] = []

        class Watched(RedisStore):
            """Says what it was asked for."""

            def __getattribute__(self, name: str) -> Any:
                if name in ("meta", "ranges", "put", "claim", "release"):
                    waits.append(name)
                return super().__getattribute__(name)

        store = Watched(redis_server.url, 60, 0.3)
        pipeline = make(store)
        redis_server.freeze()
        tokens = await pipeline.visual_tokens(job())
        redis_server.thaw()
        assert tokens.cache == VisualTokens.BYPASS
        # One time-out, not one a command.
        assert waits == ["meta"]
        await store.close()

    async def test_too_small(self, make: Make) -> None:
        tokens = await make(MemoryStore(1000, 60)).visual_tokens(job())
        assert tokens.cache == VisualTokens.BYPASS

    async def test_corrupted_rows_are_encoded_again(
        self, make: Make, redis_server: RedisServer, within: InProcessTower
    ) -> None:
        store = RedisStore(redis_server.url, 60, 5.0)
        pipeline = make(store)
        first = await pipeline.visual_tokens(job())
        direct = redis.Redis.from_url(redis_server.url)
        key = next(key for key in direct.scan_iter() if key.endswith(b":rows"))
        direct.setrange(key, 5, b"\xaa\xbb")
        again = await pipeline.visual_tokens(job())
        assert (again.cache, within.calls) == (VisualTokens.MISS, 2)
        assert substance(again) == substance(first)
        assert (await pipeline.visual_tokens(job())).cache == VisualTokens.HIT
        await store.close()


async def test_refused_images_do_not_reach_the_tower(make: Make, within: InProcessTower) -> None:
    pipeline = make()
    for data in (b"no image", encoded(picture(1500, 3))):
        with pytest.raises(InvalidArgument, match=r"^image\.data: "):
            await pipeline.visual_tokens(job(data))
    with pytest.raises(InvalidArgument, match="the limit is 100"):
        await make(decoders=decoders(100)).visual_tokens(job())
    assert within.calls == 0


async def test_timings(make: Make) -> None:
    pipeline = make()
    miss, hit = [await pipeline.visual_tokens(job()) for _ in range(2)]
    assert set(miss.timings.stages) == {"decode", "tile", "tower", "rank", "cache_read", "cache_write", "plan"}
    assert set(hit.timings.stages) == {"cache_read", "plan"}
    for tokens in (miss, hit):
        assert 0 < sum(tokens.timings.stages.values()) <= tokens.timings.total


async def test_metrics(make: Make) -> None:
    def tokens_counted() -> dict[tuple[str, str], float]:
        kinds = [(outcome, scope) for outcome in ("kept", "dropped") for scope in ("global", "local")]
        return {kind: counted("heroserve_visual_tokens_total", outcome=kind[0], scope=kind[1]) for kind in kinds}

    before, ratios = tokens_counted(), counted("heroserve_retention_ratio_count")
    decoded = counted("heroserve_encoder_stage_seconds_count", stage="decode")
    pipeline = make()
    answers = [await pipeline.visual_tokens(job(budget=Retention(0.2))) for _ in range(2)]
    thumbnail = len(answers[0].tiles[0].positions)
    local = answers[0].savings.kept - thumbnail
    since = {kind: value - before[kind] for kind, value in tokens_counted().items()}
    assert since == {
        ("kept", "global"): 2 * thumbnail,
        ("dropped", "global"): 2 * (N - thumbnail),
        ("kept", "local"): 2 * local,
        ("dropped", "local"): 2 * (answers[0].savings.total - N - local),
    }
    assert counted("heroserve_retention_ratio_count") == ratios + 2
    assert counted("heroserve_encoder_stage_seconds_count", stage="decode") == decoded + 1


async def test_the_request_that_is_served_keeps_time_and_notes(make: Make):
    pipeline = make()
    for cache in ("miss", "hit"):
        with context.serving(RequestContext("mine")) as request:
            tokens = await pipeline.visual_tokens(job())
        assert request.facts == {
            "tokens": {"total": tokens.savings.total, "kept": tokens.savings.kept},
            "cache": cache,
        }
        assert request.stages.seconds == dict(tokens.timings.stages)


async def test_too_late_no_image_is_begun_with(make: Make, within: InProcessTower):
    pipeline = make()
    with context.serving(RequestContext("late", deadline=time.monotonic() - 1)), pytest.raises(DeadlineExceeded):
        await pipeline.visual_tokens(job())
    assert within.calls == 0
    # But what is at hand is given away, and others are not held up.
    await pipeline.visual_tokens(job())
    with context.serving(RequestContext("late", deadline=time.monotonic() - 1)):
        assert (await pipeline.visual_tokens(job())).cache == VisualTokens.HIT


class ForgetfulStore(MemoryStore):
    """Lets go of rows and keeps what tells of them, as a Redis may that keeps both for itself."""

    def forget(self) -> None:
        self._entries = OrderedDict((key, (until, meta, b"")) for key, (until, meta, _) in self._entries.items())


async def test_a_plan_alone_of_an_image_without_its_rows_has_them_made_again(make: Make) -> None:
    store = ForgetfulStore(1 << 26, 60)
    pipeline = make(store)
    plan, by_digest = replace(job(), plan_only=True), replace(job(), data=None, plan_only=True)
    assert (await pipeline.visual_tokens(plan)).cache == VisualTokens.MISS
    store.forget()
    # Who is told that it is there would ask for it by its digest, in vain and for ever.
    with pytest.raises(NotFound):
        await pipeline.visual_tokens(by_digest)
    assert (await pipeline.visual_tokens(plan)).cache == VisualTokens.MISS
    assert (await pipeline.visual_tokens(by_digest)).cache == VisualTokens.HIT
    assert (await pipeline.visual_tokens(replace(job(), data=None))).cache == VisualTokens.HIT


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
async def test_a_plan_alone_is_the_plan(
    make: Make, tower: VisionTower, tiler: AnyresTiler, embedder: QuestionEmbedder, budget: Budget
) -> None:
    pipeline = make()
    data = encoded(picture(*SIZES[0]))
    names = [{"outcome": outcome, "scope": scope} for outcome in ("kept", "dropped") for scope in ("global", "local")]
    before = [counted("heroserve_visual_tokens_total", **labels) for labels in names]
    # Of an image that is new, and of one that is cached.
    plans = [await pipeline.visual_tokens(replace(job(data, budget=budget), plan_only=True)) for _ in range(2)]
    assert [counted("heroserve_visual_tokens_total", **labels) for labels in names] == before
    assert [plan.cache for plan in plans] == [VisualTokens.MISS, VisualTokens.HIT]
    whole = await pipeline.visual_tokens(job(data, budget=budget))
    for plan in plans:
        assert (plan.savings, plan.grid, plan.relevance) == (whole.savings, whole.grid, whole.relevance)
        assert [tile.importance for tile in plan.tiles] == [tile.importance for tile in whole.tiles]
        assert not any(tile.positions for tile in plan.tiles)
        assert (plan.features.rows, plan.features.cols, plan.features.data) == (0, whole.features.cols, b"")
    # Which they are is told where it is explained, and still no row of them.
    told, why = [
        await pipeline.visual_tokens(replace(job(data, budget=budget), explain=True, plan_only=plan))
        for plan in (True, False)
    ]
    assert told.tiles == why.tiles
    assert any(tile.positions for tile in told.tiles)
    assert (told.features.rows, told.features.data) == (0, b"")
    output = tower.run(tiler.cut(picture(*SIZES[0]), tiler.grid(*SIZES[0])))
    cosines = output.embedding[1:] @ torch.from_numpy(embedder.embed(QUESTIONS[0]))
    assert whole.relevance == pytest.approx(float(cosines.max()) / tower.hero.relevance_temperature, abs=1e-3)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
async def test_a_base_is_the_same_for_every_question(make: Make, budget: Budget) -> None:
    pipeline = make()
    data = encoded(picture(*SIZES[0]))
    jobs = [job(data, question, budget=budget) for question in QUESTIONS]
    plain = [await pipeline.visual_tokens(each) for each in jobs]
    based = [await pipeline.visual_tokens(replace(each, with_base=True)) for each in jobs]
    for tokens, usual in zip(based, plain, strict=True):
        assert tokens.savings == usual.savings
        assert not any(tile.base for tile in usual.tiles)
        for tile in tokens.tiles:
            assert list(tile.positions) == sorted(tile.positions)
            assert list(tile.base) == [position for position in tile.positions if position in set(tile.base)]
        # The thumbnail's budget is nobody's question's.
        assert tokens.tiles[0].base == tokens.tiles[0].positions == usual.tiles[0].positions
        assert len(tokens.features.data) == len(usual.features.data)
    assert [tile.base for tile in based[0].tiles] == [tile.base for tile in based[1].tiles]
    kept, total = based[0].savings.kept, based[0].savings.total
    thumbnail, *local = [len(tile.base) for tile in based[0].tiles]
    assert sum(local) == (kept - thumbnail if kept == total else (kept - thumbnail) // 2)
