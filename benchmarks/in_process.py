"""The encoder service within this process."""

from __future__ import annotations

from typing import Any

from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens
from heroserve.v1.tokens_pb2 import Budget, Image
from services.common import context
from services.common.budget import Budget as BudgetValue
from services.common.budget import MaxVisualTokens, Retention
from services.common.context import RequestContext
from services.encoder import parts
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.single_flight import SingleFlight
from services.encoder.cache.store import Store
from services.encoder.images.decode import ImageLimits
from services.encoder.images.decoders import Decoders
from services.encoder.pipeline import EncodePipeline, Tower
from services.encoder.ranking.rank_images import rank_images
from services.encoder.request import parse_request
from services.encoder.settings import EncoderSettings
from services.encoder.tower import VisionTower
from services.families.registry import vision_half
from services.llm.encoded import EncodedImage, PlannedImage
from services.llm.encoder_client import encoded_image, planned_image
from services.llm.job import ImagePart
from services.llm.refusal import Role


def open_pipeline(
    settings: EncoderSettings, tower: VisionTower, rank: Tower, *, decoders: Decoders, store: Store, checkpoint: str
) -> EncodePipeline:
    """What the encoder's ingress makes of its parts, here without its limits.

    Args:
        settings: of the service.
        tower: what ``rank`` calls.
        rank: see ``EncodePipeline``.
        decoders, store: for whoever closes them.
        checkpoint: what the tower was loaded from, as answers tell it.
    """
    return EncodePipeline(
        encoder_id=tower.encoder_id,
        model=settings.model,
        checkpoint=checkpoint,
        tiler=vision_half(parts.model(settings)).tiler,
        decoders=decoders,
        flights=SingleFlight(1000, 1 << 30),
        hero=tower.hero,
        cache=RankOnceCache(store, tower.encoder_id),
        cache_depth=1.0,
        tower=rank,
        embedder=parts.open_embedder(settings),
    )


class InProcessEncoder:
    """The encoder service without Ray and gRPC, with the face of the LLM service's client."""

    def __init__(self, model: str, *, with_base: bool = False, **options: Any) -> None:
        self._with_base = with_base
        settings = EncoderSettings(model=model, **{"relevance_model": "none"} | options)
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        tower = parts.open_tower(settings)

        async def rank(tiles: Any, mask: Any) -> Any:
            return rank_images(tower.run(tiles), [mask], tower.hero, tower.row_dtype)[0], {}

        decoders, store = parts.open_decoders(settings), MemoryStore(1 << 28, 3600)
        self._pipeline = open_pipeline(settings, tower, rank, decoders=decoders, store=store, checkpoint="digest:0-0")
        self.calls: list[tuple[Role, ImagePart, str, BudgetValue | None]] = []

    async def fetch(
        self, place: Role, image: ImagePart, question: str, budget: BudgetValue | None, *, explain: bool = False
    ) -> EncodedImage:
        self.calls.append((place, image, question, budget))
        tokens = await self._answer(image, question, budget, explain=explain)
        return encoded_image(tokens, question if explain else None)

    async def plan(
        self, place: Role, image: ImagePart, question: str, budget: BudgetValue | None, *, explain: bool = False
    ) -> PlannedImage:
        tokens = await self._answer(image, question, budget, plan_only=True, explain=explain)
        return planned_image(tokens, question if explain else None)

    async def _answer(
        self,
        image: ImagePart,
        question: str,
        budget: BudgetValue | None,
        *,
        explain: bool = False,
        plan_only: bool = False,
    ) -> VisualTokens:
        asked = Budget()
        match budget:
            case Retention(share):
                asked.retention = share
            case MaxVisualTokens(count):
                asked.max_visual_tokens = count
        request = EncodeRequest(image=Image(data=image.data), question=question, budget=asked)
        request.explain, request.plan_only = explain, plan_only
        request.with_base = self._with_base
        job = parse_request(request, self._limits, Retention(0.2))
        # A request of its own, as behind its own gate.
        with context.serving(RequestContext()):
            return await self._pipeline.visual_tokens(job)
