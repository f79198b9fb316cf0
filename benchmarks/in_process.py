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
from services.encoder.images.decode import ImageLimits
from services.encoder.pipeline import EncodePipeline
from services.encoder.ranking.rank_images import rank_images
from services.encoder.relevance.questions import QuestionEmbedder
from services.encoder.request import parse_request
from services.encoder.settings import EncoderSettings
from services.families.registry import vision_half
from services.llm.encoded import EncodedImage, PlannedImage
from services.llm.encoder_client import encoded_image, planned_image
from services.llm.job import ImagePart
from services.llm.refusal import Role


class InProcessEncoder:
    """The encoder service without Ray and gRPC, with the face of the LLM service's client."""

    def __init__(self, model: str, *, with_base: bool = False, **options: Any) -> None:
        self._with_base = with_base
        settings = EncoderSettings(model=model, **{"relevance_model": "none"} | options)
        self._limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        tower = parts.open_tower(settings)

        async def rank(tiles: Any, mask: Any) -> Any:
            return rank_images(tower.run(tiles), [mask], tower.hero, tower.row_dtype)[0], {}

        self._pipeline = EncodePipeline(
            encoder_id=tower.encoder_id,
            model="a model",
            checkpoint="digest:0-0",
            tiler=vision_half(parts.model(settings)).tiler,
            decoders=parts.open_decoders(settings),
            flights=SingleFlight(1000, 1 << 30),
            hero=tower.hero,
            cache=RankOnceCache(MemoryStore(1 << 28, 3600), tower.encoder_id),
            cache_depth=1.0,
            tower=rank,
            embedder=None if (clip := parts.relevance_model(settings)) is None else QuestionEmbedder(clip),
        )
        self.calls: list[tuple[Role, ImagePart, str, BudgetValue | None]] = []

    async def fetch(
        self, place: Role, image: ImagePart, question: str, budget: BudgetValue | None, *, explain: bool = False
    ) -> EncodedImage:
        self.calls.append((place, image, question, budget))
        tokens = await self._answer(image, question, budget, explain=explain)
        return encoded_image(tokens, question if explain else None)

    async def plan(self, place: Role, image: ImagePart, question: str, budget: BudgetValue | None) -> PlannedImage:
        return planned_image(await self._answer(image, question, budget, plan_only=True))

    async def _answer(self, image: ImagePart, question: str, budget: BudgetValue | None, **flags: bool) -> VisualTokens:
        asked = Budget()
        match budget:
            case Retention(share):
                asked.retention = share
            case MaxVisualTokens(count):
                asked.max_visual_tokens = count
        request = EncodeRequest(image=Image(data=image.data), question=question, budget=asked, **flags)
        request.with_base = self._with_base
        job = parse_request(request, self._limits, Retention(0.2))
        # A request of its own, as behind its own gate.
        with context.serving(RequestContext()):
            return await self._pipeline.visual_tokens(job)
