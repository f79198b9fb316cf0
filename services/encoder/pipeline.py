"""A request's way through the encoder: cache, or decode, tile, tower and rank; then plan and slice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from heroserve.v1.encoder_pb2 import VisualTokens
from services.common import context
from services.common.context import RequestContext
from services.common.errors import InvalidArgument, NotFound
from services.common.rows import row_bytes
from services.common.stages import Stages
from services.encoder import metrics
from services.encoder.cache.entry import Entry, Prefixes, build_entry
from services.encoder.cache.rank_once import EntryOutdated, RankOnceCache
from services.encoder.cache.single_flight import SingleFlight
from services.encoder.hero import HeroConfig
from services.encoder.images.decoders import Decoders
from services.encoder.images.refusal import FIELD
from services.encoder.job import EncodeJob
from services.encoder.plan import TokenPlan, check_size, plan_tokens
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.relevance.questions import QuestionEmbedder
from services.encoder.response import visual_tokens
from services.families.family import CutError, Tiler
from services.families.grid import Grid

Tiles = np.ndarray[Any, np.dtype[np.uint8]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Embedding = np.ndarray[Any, np.dtype[np.float32]]
# Rows are None where only a plan was asked for.
Found = tuple[Entry, TokenPlan, Prefixes | None, VisualTokens.Cache]
Flights = SingleFlight[tuple[Entry, Prefixes, bool]]
# Tiles and padding masks of one image to its ranked rows, and the seconds that "tower" and "rank" took. A call that is
# cancelled is dropped where it waits; a pass that has begun ends, so that the rows that were paid for are cached.
Tower = Callable[[Tiles, Mask], Awaitable[tuple[RankedImage, dict[str, float]]]]


class EncodePipeline:
    """Everything of the encoder service that is not Ray Serve.

    Args:
        encoder_id: of the tower behind ``tower``.
        model, checkpoint: what it was loaded from, as a setting names it and as ``identify`` does.
        tiler: how images are cut.
        decoders: decode and cut.
        flights: images that are being encoded, by digest.
        hero: how budgets are shared.
        cache: ranked rows by image digest.
        cache_depth: share of each tile's rows that is cached.
        tower: the vision tower.
        embedder: embeds questions; None without a relevance model.
    """

    def __init__(
        self,
        *,
        encoder_id: str,
        model: str,
        checkpoint: str,
        tiler: Tiler,
        decoders: Decoders,
        flights: Flights,
        hero: HeroConfig,
        cache: RankOnceCache,
        cache_depth: float,
        tower: Tower,
        embedder: QuestionEmbedder | None,
    ) -> None:
        self._encoder_id = encoder_id
        self._model = model
        self._checkpoint = checkpoint
        self._tiler = tiler
        self._decoders = decoders
        self._hero = hero
        self._cache = cache
        self._cache_depth = cache_depth
        self._tower = tower
        self._embedder = embedder
        self._flights = flights

    async def visual_tokens(self, job: EncodeJob) -> VisualTokens:
        """Answer one request.

        Raises:
            NotFound: only a digest was sent, and the cache does not hold what is asked for.
            InvalidArgument: the image can't be decoded or tiled.
            DeadlineExceeded: it is too late to begin with the image, or to go on waiting for it.
            ResourceExhausted: too many images wait to be encoded.
            Unavailable: no image can be decoded just now.
        """
        request = context.current()
        try:
            return await self._answer(job, request)
        finally:
            request.stages.observe(metrics.STAGE_SECONDS)

    async def _answer(self, job: EncodeJob, request: RequestContext) -> VisualTokens:
        stages = request.stages
        with stages.time("plan"):
            question = await self._embed(job.question)
        found = await self._from_cache(job, question, stages)
        if found is None:
            request.check_deadline()
            found = await self._from_tower(job, question, stages)
        entry, plan, rows, cache = found
        request.note(
            tokens={"total": int(entry.valid.sum()), "kept": sum(plan.counts)},
            cache=VisualTokens.Cache.Name(cache).lower(),
        )
        if not job.plan_only:
            _count(entry, plan)
        tokens = await asyncio.to_thread(
            visual_tokens,
            *(job.digest, self._encoder_id, entry, plan, rows, cache),
            dtype=job.rows,
            placement=self._tiler.place(entry.grid),
            explain=job.explain,
        )
        # Of this encoder, also where another with the same tower has cached the rows: they are the same rows.
        tokens.model, tokens.checkpoint = self._model, self._checkpoint
        tokens.timings.stages.update(stages.seconds)
        tokens.timings.total = stages.total
        return tokens

    async def _from_cache(self, job: EncodeJob, question: Embedding | None, stages: Stages) -> Found | None:
        known = self._cache.known(job.name)
        if known is not None:
            try:
                return await self._rows(job, known, question, stages)
            except EntryOutdated:
                pass
        with stages.time("cache_read", span="cache"):
            entry = await self._cache.entry(job.name, *self._needs(question))
        return None if entry is None else await self._rows(job, entry, question, stages)

    async def _rows(self, job: EncodeJob, entry: Entry, question: Embedding | None, stages: Stages) -> Found | None:
        plan = self._plan(entry, question, job, stages)
        # Also for a plan: who is told that an image is there will ask for its rows, which a store may have let go
        # alone. They lie together, so that the first tells of all.
        counts = [1, *[0] * (len(plan.counts) - 1)] if job.plan_only else plan.counts
        with stages.time("cache_read", span="cache"):
            rows = await self._cache.rows(job.name, entry, counts, near=not job.plan_only)
        if rows is None:
            return None
        return entry, plan, None if job.plan_only else rows, VisualTokens.HIT

    async def _from_tower(self, job: EncodeJob, question: Embedding | None, stages: Stages) -> Found:
        if job.data is None:
            raise NotFound("image.digest: not in the cache at the depth this budget needs; send image.data")
        data = job.data
        entry, every_row, written = await self._flights.run(
            job.name,
            lambda: self._encode_once(job.name, data, self._needs(question), stages),
            size=len(data),
            timeout_s=context.current().remaining_s,
        )
        plan = self._plan(entry, question, job, stages)
        cache = VisualTokens.MISS if written else VisualTokens.BYPASS
        rows = [tile[:count] for tile, count in zip(every_row, plan.counts, strict=True)]
        return entry, plan, None if job.plan_only else rows, cache

    def _plan(self, entry: Entry, question: Embedding | None, job: EncodeJob, stages: Stages) -> TokenPlan:
        with stages.time("plan"):
            plan = plan_tokens(entry, question, job.budget, self._hero, with_base=job.with_base)
        if not job.plan_only and not job.streamed:
            check_size(plan, row_bytes(job.rows or entry.dtype, entry.feature_width))
        return plan

    async def _embed(self, question: str) -> Embedding | None:
        if self._embedder is None:
            return None
        return await asyncio.to_thread(self._embedder.embed, question)

    def _needs(self, question: Embedding | None) -> tuple[int, int | None]:
        """What an entry must have for a plan: see ``Entry.check_terms``."""
        return self._tiler.tokens_per_side, None if question is None else len(question)

    async def _encode_once(
        self, name: str, data: bytes, needs: tuple[int, int | None], stages: Stages
    ) -> tuple[Entry, Prefixes, bool]:
        """An image's whole entry, all its rows, and whether they are cached; from another replica if one is at it."""
        async with self._cache.lease(name) as waited:
            if waited:
                with stages.time("cache_read", span="cache"):
                    found = await self._cache.whole(name, *needs)
                if found is not None:
                    return *found, True
            return await self._encode_image(name, data, stages)

    async def _encode_image(self, name: str, data: bytes, stages: Stages) -> tuple[Entry, Prefixes, bool]:
        grid, tiles = await self._decoders.tiles(data, self._tiler.cutter, self._grid, stages)
        ranked, seconds = await self._tower(tiles, grid.valid())
        for stage, spent in seconds.items():
            stages.add(stage, spent)
        entry, rows = await asyncio.to_thread(build_entry, grid, ranked, 1.0)
        with stages.time("cache_write", span="cache"):
            depth = self._cache_depth
            cached = (entry, rows) if depth == 1 else await asyncio.to_thread(build_entry, grid, ranked, depth)
            written = await self._cache.write(name, *cached)
        return entry, entry.tiles(rows), written

    def _grid(self, width: int, height: int) -> Grid:
        try:
            return self._tiler.grid(width, height)
        except CutError as error:
            raise InvalidArgument(FIELD, str(error)) from error


def _count(entry: Entry, plan: TokenPlan) -> None:
    for scope, valid, kept in (
        ("global", int(entry.valid[0]), plan.counts[0]),
        ("local", int(entry.valid[1:].sum()), sum(plan.counts[1:])),
    ):
        metrics.VISUAL_TOKENS.labels(outcome="kept", scope=scope).inc(kept)
        metrics.VISUAL_TOKENS.labels(outcome="dropped", scope=scope).inc(valid - kept)
    metrics.RETENTION.observe(sum(plan.counts) / int(entry.valid.sum()))
