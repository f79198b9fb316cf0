"""Both services' hearts in one process, with real gRPC and a real Redis between their parts, and no Ray around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np

from benchmarks.in_process import open_pipeline
from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens
from heroserve.v1.encoder_pb2_grpc import VisionEncoderServicer, add_VisionEncoderServicer_to_server
from services.common import context
from services.common.budget import Retention
from services.common.context import RequestContext
from services.common.errors import NotFound
from services.common.identity import identify
from services.encoder import parts as encoder_parts
from services.encoder.images.decode import ImageLimits
from services.encoder.pipeline import EncodePipeline
from services.encoder.ranking.rank_images import rank_images
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.request import parse_request
from services.encoder.settings import EncoderSettings
from services.llm import parts as llm_parts
from services.llm.chat import ChatPipeline
from services.llm.engines.registry import open_engine
from services.llm.job import ChatJob
from services.llm.settings import LlmSettings

from .tally import Tally

_OPTIONS = [("grpc.max_send_message_length", 64 << 20), ("grpc.max_receive_message_length", 64 << 20)]


class _Encoder(VisionEncoderServicer):
    """The encoder's door, without the gate that Ray Serve's calls go through."""

    def __init__(self, pipeline: EncodePipeline, settings: EncoderSettings, tally: Callable[[], Tally]) -> None:
        self._pipeline = pipeline
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        self._budget = Retention(settings.retention)
        self._tally = tally

    async def Encode(self, request: EncodeRequest, call: grpc.aio.ServicerContext[Any, Any]) -> VisualTokens:
        self._tally().add("messages to the encoder")
        self._tally().add("bytes to the encoder", request.ByteSize())
        try:
            tokens = await self._pipeline.visual_tokens(parse_request(request, self._limits, self._budget))
        except NotFound as error:
            await call.abort(grpc.StatusCode.NOT_FOUND, str(error))
        self._tally().add("bytes from the encoder", tokens.ByteSize())
        return tokens


class Both:
    """What is asked, and what it is counted by.

    Attributes:
        tally: of what is asked now; whoever asks sets another.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.chat: ChatPipeline

    async def ask(self, job: ChatJob) -> None:
        """To the end of the answer."""
        with context.serving(RequestContext(id="counted")):
            async for _ in self.chat.generate(job):
                self.tally.add("pieces of the answer")


@asynccontextmanager
async def both(model: str, relevance: str, cache_url: str) -> AsyncIterator[Both]:
    """Open, of a checkpoint and a CLIP; closed at the end."""
    two = Both()
    encoder_settings = EncoderSettings(
        model=model, relevance_model=relevance, cache_url=cache_url, dtype="float32", decode_workers=1
    )
    sources = encoder_parts.check(encoder_settings)
    tower = encoder_parts.open_tower(encoder_settings, sources)

    async def rank(tiles: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> tuple[RankedImage, dict[str, float]]:
        two.tally.add("passes of the tower")
        two.tally.add("tiles in them", len(tiles))
        output = await asyncio.to_thread(tower.run, tiles)
        (image,) = await asyncio.to_thread(rank_images, output, [mask], tower.hero, tower.row_dtype)
        return image, {"tower": 0.001, "rank": 0.001}

    store = encoder_parts.open_store(encoder_settings)
    decoders = encoder_parts.open_decoders(encoder_settings)
    await decoders.start()
    checkpoint = identify(sources.model)
    pipeline = open_pipeline(encoder_settings, tower, rank, decoders=decoders, store=store, checkpoint=checkpoint)
    server = grpc.aio.server(options=_OPTIONS)
    add_VisionEncoderServicer_to_server(_Encoder(pipeline, encoder_settings, lambda: two.tally), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = LlmSettings(model=model, encoder_target=f"127.0.0.1:{port}", dtype="float32", max_images=2)
    source = llm_parts.model(settings)
    splicer = llm_parts.open_splicer(settings, source)
    encoder = llm_parts.open_encoder(settings, splicer, identify(source))
    engine = open_engine(settings, source)
    await engine.begin()
    two.chat = llm_parts.open_chat(settings, encoder, llm_parts.open_prompts(settings, source), splicer, engine, source)
    try:
        yield two
    finally:
        await encoder.close()
        await server.stop(None)
        await store.close()
        decoders.close()
