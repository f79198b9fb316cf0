"""The encoder service, as the LLM service sees it."""

from __future__ import annotations

import logging

import numpy as np

import heroserve
from heroserve import CallOptions
from heroserve.requests import BudgetOptions
from heroserve.v1.encoder_pb2 import EncoderDescription, Tile, VisualTokens
from heroserve.v1.encoder_pb2 import Grid as GridMessage
from heroserve.v1.tokens_pb2 import Image
from services.common import context, tracing
from services.common.budget import Budget, MaxVisualTokens, Retention
from services.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.common.rows import RowDtype, from_wire, unpack
from services.common.scope import HEADER as SCOPE
from services.common.wire import MAX_QUESTION_CHARS
from services.families.grid import Grid, Placement
from services.llm.encoded import EncodedImage, PlannedImage, Positions
from services.llm.encoder_health import EncoderHealth
from services.llm.explanation import Explanation, TileTerms
from services.llm.halves import refuse_another
from services.llm.job import ImagePart
from services.llm.refusal import Refusal, Role, RoleName

logger = logging.getLogger(__name__)

_DESCRIBE_TIMEOUT_S = 5.0
_SAME = (DeadlineExceeded, Unavailable, FailedPrecondition)
# The encoder's names for what of a chat request it was given; an image's stand where its part does.
_OF_IMAGE: dict[str, RoleName] = {"image": "image", "image.data": "image_data", "image.digest": "image_digest"}
_OF_BUDGET: dict[str, RoleName] = {
    "budget": "budget",
    "budget.retention": "retention",
    "budget.max_visual_tokens": "max_visual_tokens",
}


class EncoderClient:
    """One connection for all requests, spread over the encoder's addresses, with the SDK's retries.

    One layer tries again, not two. An encoder that can't be reached, or was lost, is tried from here, where it costs
    the least, and then the caller is told not to; its overload goes on to the caller at once, with its hint.

    Args:
        target: the encoder's HOST:PORT.
        api_key: sent to it; "" sends none.
        timeout_s: longest to wait for it, retries included.
        feature_width: H, of the rows that can be used here.
        with_base: ask for what no question changes, too.
        rows: in which dtype to have them sent; None is as the encoder has them, and an older one sends no others.
        model, checkpoint: whose language half is here, as a setting names it and as ``identify`` does.
    """

    def __init__(
        self,
        target: str,
        *,
        api_key: str,
        timeout_s: float,
        feature_width: int,
        model: str,
        checkpoint: str,
        with_base: bool = False,
        rows: RowDtype | None = None,
    ) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._feature_width = feature_width
        self._with_base = with_base
        self._rows = rows
        self._model = model
        self._checkpoint = checkpoint
        self._warned = False
        self._client = heroserve.AsyncClient(
            encoder_target=target,
            api_key=api_key or None,
            retry=heroserve.RetryPolicy(overload_share=0),
        )
        # Who asks what runs here does not wait for an encoder that is away.
        self._describer = heroserve.AsyncClient(
            encoder_target=target, api_key=api_key or None, retry=heroserve.RetryPolicy(attempts=1)
        )
        self._health = EncoderHealth(target, self._is_there)

    async def fetch(
        self, place: Role, image: ImagePart, question: str, budget: Budget | None, *, explain: bool = False
    ) -> EncodedImage:
        """See ``ImageEncoder``."""
        tokens = await self._ask(place, image, question, budget, explain=explain)
        if tokens.features.cols != self._feature_width:
            raise Internal(
                f"the encoder at {self._target} serves another model: its features are "
                f"{tokens.features.cols} wide, this one's projector takes {self._feature_width}"
            )
        return encoded_image(tokens, question if explain else None)

    async def plan(
        self, place: Role, image: ImagePart, question: str, budget: Budget | None, *, explain: bool = False
    ) -> PlannedImage:
        """See ``ImageEncoder``."""
        tokens = await self._ask(place, image, question, budget, plan_only=True, explain=explain)
        if explain and tokens.savings.kept and not any(tile.positions for tile in tokens.tiles):
            raise FailedPrecondition(
                f"the encoder at {self._target} is older than this service, and does not tell what a plan would keep; "
                "upgrade it"
            )
        return planned_image(tokens, question if explain else None)

    async def _ask(
        self,
        place: Role,
        image: ImagePart,
        question: str,
        budget: Budget | None,
        *,
        plan_only: bool = False,
        explain: bool = False,
    ) -> VisualTokens:
        try:
            tokens = await self._client.encode(
                Image(digest=image.digest) if image.data is None else Image(data=image.data),
                # Its beginning is enough to tell what is relevant: CLIP reads 77 tokens.
                question[:MAX_QUESTION_CHARS],
                plan_only=plan_only,
                explain=explain,
                with_base=self._with_base,
                rows=self._rows,
                **_along(self._timeout_s),
                **_options(budget),
            )
        except heroserve.HeroserveError as error:
            raise self._translate(error, place) from error
        self._check_checkpoint(tokens)
        return tokens

    def _check_checkpoint(self, tokens: VisualTokens) -> None:
        """Of every answer: either service may be replaced at any time, and the encoder's replicas one by one."""
        if tokens.checkpoint:
            refuse_another(self._target, tokens.model, tokens.checkpoint, self._model, self._checkpoint)
        elif not self._warned:
            self._warned = True
            logger.warning(
                "the encoder at %s is older than this service and does not tell which checkpoint it serves; that it is "
                "%s is taken on trust until it is upgraded",
                *(self._target, self._model),
            )

    async def problem(self) -> str | None:
        """Why a picture could not be encoded now; None if it could."""
        return await self._health.problem()

    async def describe(self) -> EncoderDescription | None:
        """What the encoder runs; None when it can't be reached."""
        try:
            return await self._describer.describe_encoder(**_along(_DESCRIBE_TIMEOUT_S))
        except heroserve.HeroserveError:
            return None

    async def close(self) -> None:
        await self._client.close()
        await self._describer.close()
        await self._health.close()

    async def _is_there(self) -> bool:
        return await self.describe() is not None

    def _translate(self, error: heroserve.HeroserveError, place: Role) -> ServiceError | Refusal:
        name, _, problem = error.details.partition(": ")
        if isinstance(error, heroserve.InvalidArgument):
            if name in _OF_IMAGE:
                return Refusal(Role(_OF_IMAGE[name], place.turn, place.item), problem)
            if name in _OF_BUDGET:
                return Refusal(Role(_OF_BUDGET[name]), problem)
            asked = "ask a question that" if name == "question" else "ask for what"
            return Refusal(Role("messages"), f"{asked} the encoder refuses: {problem or error.details}")
        if isinstance(error, heroserve.NotFound):
            return Refusal(Role("image_digest", place.turn, place.item), problem or error.details, missing=True)
        words = f"encoder at {self._target}: {error.details}"
        if error.code == ResourceExhausted.code:
            return ResourceExhausted(words, error.retry_after_s, reason="encoder")
        for kind in _SAME:
            if error.code == kind.code:
                told = kind(words)
                told.retry_after_s = -1 if kind is Unavailable else error.retry_after_s
                return told
        return Internal(f"encoder at {self._target} ended with {error.code.name}: {error.details}")


def encoded_image(tokens: VisualTokens, question: str | None = None) -> EncodedImage:
    """What the encoder kept, off the wire; with an explanation where there is a ``question``, by which it was chosen.

    Raises:
        ValueError: its features are not what they say.
    """
    features = tokens.features
    grid, kept = _parse_grid(tokens.grid), _parse_kept(tokens)
    return EncodedImage(
        grid=grid,
        kept=kept,
        features=unpack(features.data, from_wire(features.dtype), features.rows, features.cols),
        total=tokens.savings.total,
        cache=_parse_cache(tokens),
        base=_parse_base(tokens),
        explanation=None if question is None else _parse_explanation(tokens, question, grid, kept),
    )


def planned_image(tokens: VisualTokens, question: str | None = None) -> PlannedImage:
    """What the encoder would keep, off the wire, explained as by ``encoded_image``; one that is too old to tell how
    relevant an image is says 0."""
    explanation = None
    if question is not None:
        explanation = _parse_explanation(tokens, question, _parse_grid(tokens.grid), _parse_kept(tokens))
    return PlannedImage(
        total=tokens.savings.total,
        kept=tokens.savings.kept,
        relevance=tokens.relevance,
        cache=_parse_cache(tokens),
        base=_parse_base(tokens),
        explanation=explanation,
    )


def _along(timeout_s: float) -> CallOptions:
    """What of the request goes along with a call for it: what is left of its time, its id, whose it is, its place in
    the trace. The SDK takes the last two as headers alike."""
    request, trace = context.current(), tracing.here()
    headers = dict(trace.headers) if trace else {}
    if request.scope:
        headers[SCOPE] = request.scope
    return {
        "timeout_s": min(timeout_s, request.remaining_s),
        "request_id": request.id or None,
        "trace": headers,
    }


def _options(budget: Budget | None) -> BudgetOptions:
    match budget:
        case Retention(share):
            return {"retention": share}
        case MaxVisualTokens(count):
            return {"max_visual_tokens": count}
        case None:
            return {}


def _parse_explanation(tokens: VisualTokens, question: str, grid: Grid, kept: Positions) -> Explanation:
    terms = tuple(_parse_terms(tile) for tile in tokens.tiles)
    return Explanation(tokens.image_digest, question, grid, _parse_placement(tokens.grid), kept, terms)


def _parse_cache(tokens: VisualTokens) -> str:
    # A newer encoder may have another.
    known = tokens.cache in VisualTokens.Cache.values()
    return VisualTokens.Cache.Name(tokens.cache).lower() if known else str(int(tokens.cache))


def _parse_kept(tokens: VisualTokens) -> Positions:
    return [np.array(tile.positions, np.int64) for tile in tokens.tiles]


def _parse_base(tokens: VisualTokens) -> Positions:
    return [np.array(tile.base, np.int64) for tile in tokens.tiles]


def _parse_grid(message: GridMessage) -> Grid:
    window = message.window
    return Grid(
        width=message.image_width,
        height=message.image_height,
        rows=message.rows,
        cols=message.cols,
        side=message.patches_per_side,
        top=window.top,
        bottom=window.bottom,
        left=window.left,
        right=window.right,
    )


def _parse_placement(message: GridMessage) -> Placement:
    """One that is too old to tell says 0 of all, as an image without local tiles does of the rest."""
    window = message.placement
    return Placement(message.tile_size, message.token_size, window.top, window.bottom, window.left, window.right)


def _parse_terms(tile: Tile) -> TileTerms:
    terms = tile.explanation
    return TileTerms(tile.valid, tile.importance, terms.saliency, terms.relevance, terms.density)
