"""The encoder service as a Ray Serve application: ``services.encoder.app:build``.

``Encoder`` takes the RPCs and needs no accelerator; ``VisionTower`` runs behind it, batched across requests.
"""

from __future__ import annotations

from services.common import collecting  # isort: skip  # before what is large

import asyncio
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import numpy as np
from ray import serve
from ray.serve import Application
from ray.serve.exceptions import DeploymentUnavailableError
from ray.serve.grpc_util import RayServegRPCContext
from ray.serve.handle import DeploymentHandle

from heroserve import methods
from heroserve.v1.encoder_pb2 import (
    DescribeEncoderRequest,
    EncodeChunk,
    EncoderDescription,
    EncodeRequest,
    VisualTokens,
)
from services.common import context, deployment, image_router, tracing
from services.common.budget import Retention
from services.common.context import Origin
from services.common.errors import FailedPrecondition
from services.common.gate import Gate
from services.common.grpc_call import GrpcCall
from services.common.identity import identify
from services.common.probe import Probe
from services.common.replica import Replica
from services.common.rows import sendable, to_wire
from services.common.settings import SettingError
from services.common.stages import Stages
from services.encoder import metrics, parts, scaling
from services.encoder.begun import unless_begun
from services.encoder.cache.single_flight import SingleFlight
from services.encoder.chunks import chunks
from services.encoder.images.decode import ImageLimits
from services.encoder.pipeline import EncodePipeline, Mask, Tiles
from services.encoder.ranking.rank_images import rank_each
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.request import parse_request
from services.encoder.settings import EncoderSettings
from services.families.registry import vision_half

collecting.again()
logger = logging.getLogger(__name__)

# The last is done when its pass begins.
Job = tuple[Tiles, Mask, Origin, "asyncio.Future[None]"]
Ranked = tuple[RankedImage, dict[str, float]]


class VisionTowerDeployment(Replica[EncoderSettings]):
    """Tiles in, ranked rows out; one pass for all requests that wait."""

    async def open(self, settings: EncoderSettings, *others: Any) -> None:
        (sources,) = others
        self._checkpoint = identify(sources.model)
        self._tower = parts.open_tower(settings, sources)
        # Fails when the accelerator is lost.
        self.probe = Probe(self._tower.synchronize)
        # Of requests that are here, waiting or in a pass; and so many are none too many.
        self._tiles, self._target_tiles = 0, settings.target_tiles or settings.max_batch_tiles
        batch: Any = self._rank_batch
        batch.set_max_batch_size(max(settings.max_batch_tiles, self._tower.max_tiles))
        batch.set_batch_wait_timeout_s(settings.batch_wait_s)

    def describe(self) -> dict[str, Any]:
        """What the ingress must know of these weights."""
        tower = self._tower
        return {
            "encoder_id": tower.encoder_id,
            "checkpoint": self._checkpoint,
            "feature_width": tower.feature_width,
            "dtype": tower.row_dtype,
        }

    async def rank(self, tiles: Tiles, mask: Mask, origin: Origin) -> AsyncIterator[Ranked | None]:
        """None when its pass begins; then one image's ranked rows, for this request, and the seconds that its batch
        spent in the stages here. Who goes away before that is taken out of the queue.

        Raises:
            FailedPrecondition: values of this image, whatever those of others, are not finite.
        """
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tiles += len(tiles)
        ranked = asyncio.ensure_future(self._rank_batch((tiles, mask, origin, begun)))
        try:
            either: set[asyncio.Future[Any]] = {ranked, begun}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            yield None
            image, seconds = await ranked
        finally:
            self._tiles -= len(tiles)
            # Serve leaves it out of the next batch then.
            ranked.cancel()
        if isinstance(image, FailedPrecondition):
            raise image
        yield image, seconds

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What Serve asks for, and ``scaling.policy`` goes by."""
        return {scaling.PASSES: self._tiles / self._target_tiles}

    @serve.batch(batch_size_fn=lambda jobs: sum(len(tiles) for tiles, *_ in jobs))
    async def _rank_batch(self, jobs: list[Job]) -> list[tuple[RankedImage | FailedPrecondition, dict[str, float]]]:
        for *_, begun in jobs:
            if not begun.done():
                begun.set_result(None)
        # Serve batches in a task of its own, which would for ever work for the request that it was begun by.
        with context.serving_all([origin for _, _, origin, *_ in jobs]):
            # In a thread, so that health checks and new arrivals are served meanwhile.
            return await asyncio.to_thread(self._rank, jobs)

    def _rank(self, jobs: list[Job]) -> list[tuple[RankedImage | FailedPrecondition, dict[str, float]]]:
        tiles = np.concatenate([tiles for tiles, *_ in jobs])
        metrics.TOWER_BATCH_TILES.observe(len(tiles))
        stages = Stages()
        spans = [tracing.begin("tower", origin.trace) for _, _, origin, *_ in jobs]
        with stages.time("tower"):
            output = self._tower.run(tiles)
            self._tower.synchronize()
        for span in spans:
            span.end()
        with stages.time("rank"):
            images = rank_each(output, [mask for _, mask, *_ in jobs], self._tower.hero, self._tower.row_dtype)
        logger.debug("a pass of the tower", extra={"tiles": len(tiles), "seconds": stages.seconds})
        return [(image, stages.seconds) for image in images]


async def _rank(tower: DeploymentHandle[Any], tiles: Tiles, mask: Mask, begun: asyncio.Event) -> Ranked:
    """What the tower ranks, ``begun`` set when its pass begins. Cancelled, it leaves the queue that it is in."""
    messages: Any = tower.options(stream=True).rank.remote(tiles, mask, context.origin())
    ranked: list[Ranked] = []
    try:
        async for message in messages:
            begun.set()
            ranked += [message] if message else []
    except BaseException:
        messages.cancel()
        raise
    return ranked[0]


class EncoderDeployment(Replica[EncoderSettings]):
    """``heroserve.v1.VisionEncoder``; behind it, the handle of its tower."""

    computes = False

    async def open(self, settings: EncoderSettings, *others: Any) -> None:
        sources, tower = others
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        self._tower = tower
        self._gate = Gate(settings.api_keys, metrics.REQUESTS, metrics.EXHAUSTED, settings.request_timeout_s)
        self._admission = deployment.open_admission(settings, settings.max_ongoing_requests)
        self._default_budget = Retention(settings.retention)
        self._scoped = settings.cache_scope == "key"
        half = vision_half(sources.model)
        try:
            await parts.check_store(settings)
        except SettingError as error:
            # Whoever built the application saw a cache that could be used, or none yet. A replica that takes another's
            # place must not bring the service down because a password has changed since.
            logger.error("%s; going on without a cache", error)  # noqa: TRY400 - no bug, and no traceback
        described = await _description(tower)

        async def rank(tiles: Tiles, mask: Mask) -> Ranked:
            begun = asyncio.Event()
            return await unless_begun(_rank(tower, tiles, mask, begun), begun)

        self._decoders = parts.open_decoders(settings)
        # Here, and not with the first picture: a replica that can't decode is none.
        await self._decoders.start()
        self._pipeline = EncodePipeline(
            encoder_id=described["encoder_id"],
            model=settings.model,
            checkpoint=described["checkpoint"],
            tiler=half.tiler,
            decoders=self._decoders,
            flights=SingleFlight(settings.max_queued_misses, settings.max_queued_miss_bytes),
            hero=parts.hero_config(settings, half.layers, sources),
            cache=parts.open_cache(settings, described["encoder_id"]),
            cache_depth=settings.cache_depth,
            tower=rank,
            embedder=parts.open_embedder(settings, sources),
        )
        self._description = EncoderDescription(
            model=settings.model,
            relevance_model=settings.relevance or "",
            encoder_id=described["encoder_id"],
            tile_size=half.tiler.tile_size,
            patches_per_side=half.tiler.tokens_per_side,
            feature_width=described["feature_width"],
            dtype=to_wire(described["dtype"]),
            default_retention=settings.retention,
            max_image_bytes=settings.max_image_bytes,
            max_image_pixels=settings.max_image_pixels,
            trained=sources.model.trained,
            version=version("heroserve"),
            checkpoint=described["checkpoint"],
            row_dtypes=map(to_wire, sendable(described["dtype"])),
        )
        self._row_dtype = described["dtype"]

    async def Encode(self, request: EncodeRequest, grpc_context: RayServegRPCContext) -> VisualTokens:
        call = GrpcCall(methods.ENCODE.path, grpc_context, request)
        return await self._gate.unary(call, lambda: self._encode(call, request), VisualTokens())

    async def EncodeStream(
        self, request: EncodeRequest, grpc_context: RayServegRPCContext
    ) -> AsyncIterator[EncodeChunk]:
        call = GrpcCall(methods.ENCODE_STREAM.path, grpc_context, request)
        with self._gate.guard(call):
            for chunk in chunks(await self._encode(call, request, streamed=True)):
                yield call.answered(chunk)

    async def _encode(self, call: GrpcCall, request: EncodeRequest, *, streamed: bool = False) -> VisualTokens:
        """When it is this request's turn; which is over before anything is sent."""
        serving = context.current()
        async with self._admission.turn(serving, call.bytes_in):
            job = parse_request(
                request,
                self._limits,
                self._default_budget,
                serving.scope if self._scoped else "",
                stored=self._row_dtype,
                streamed=streamed,
            )
            return await self._pipeline.visual_tokens(job)

    async def Describe(self, request: DescribeEncoderRequest, grpc_context: RayServegRPCContext) -> EncoderDescription:
        async def answer() -> EncoderDescription:
            return self._description

        call = GrpcCall(methods.DESCRIBE_ENCODER.path, grpc_context, request)
        return await self._gate.unary(call, answer, EncoderDescription())

    async def ready(self) -> dict[str, str]:
        """As ``Replica``: a new picture needs a tower."""
        missing: dict[str, str] = await self._tower.ready.remote()
        return missing


async def _description(tower: DeploymentHandle[Any]) -> dict[str, Any]:
    """The tower's, once it is there."""
    while True:
        try:
            described: dict[str, Any] = await tower.describe.remote()
        except DeploymentUnavailableError:
            # It can't start, and its status says why. Whoever mends it may not touch this replica.
            await asyncio.sleep(1)
        else:
            return described


def build(args: dict[str, str] | None = None, share: float = 1.0) -> Application:
    """The application, from HEROSERVE_* variables; ``args`` (of a Serve config file) go before the environment's.

    ``share`` is what each tower has of the machine's cores where HEROSERVE_REPLICA_CPUS says nothing.
    """
    settings = deployment.settings(EncoderSettings, args)
    # What is wrong with these is told here, not by a replica that keeps restarting.
    sources = parts.check(settings)
    settings = deployment.with_share(settings, args, share, vision_half(sources.model).width)
    tower = deployment.deploy(
        VisionTowerDeployment,
        "VisionTower",
        settings,
        accelerator=True,
        policy="services.encoder.scaling:policy",
        target=1,
    )
    ingress = deployment.deploy(
        EncoderDeployment, "Encoder", settings, cpus=settings.ingress_cpus, router=image_router.PATH
    )
    return ingress.bind(settings, sources, tower.bind(settings, sources))
