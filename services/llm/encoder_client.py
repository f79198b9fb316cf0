"""The encoder service, as the LLM service sees it."""

from __future__ import annotations

import heroserve
from heroserve.v1.encoder_pb2 import EncoderDescription, VisualTokens
from heroserve.v1.tokens_pb2 import Budget
from services.common.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.common.limits import MAX_QUESTION_CHARS
from services.llm.request import ImagePart
from services.llm.settings import LlmSettings

_DESCRIBE_TIMEOUT_S = 5.0
_SAME = (NotFound, ResourceExhausted, DeadlineExceeded, Unavailable)


class EncoderClient:
    """One connection for all requests, spread over the encoder's addresses, with the SDK's retries."""

    def __init__(self, settings: LlmSettings) -> None:
        self._target = settings.encoder_target
        self._timeout_s = settings.encoder_timeout_s
        self._client = heroserve.AsyncClient(
            encoder_target=settings.encoder_target,
            api_key=settings.encoder_api_key or None,
            # The client behind a chat request retries too; between them that would be many.
            retry=heroserve.RetryPolicy(attempts=3),
        )

    async def encode(self, part: ImagePart, question: str, budget: Budget) -> VisualTokens:
        """The visual tokens of one image.

        Raises:
            ServiceError: the encoder's own status, its message in terms of the chat request.
        """
        limit = budget.WhichOneof("limit")
        try:
            return await self._client.encode(
                part.image,
                # Its beginning is enough to tell what is relevant: CLIP reads 77 tokens.
                question[:MAX_QUESTION_CHARS],
                retention=budget.retention if limit == "retention" else None,
                max_visual_tokens=budget.max_visual_tokens if limit == "max_visual_tokens" else None,
                timeout_s=self._timeout_s,
            )
        except heroserve.HeroserveError as error:
            raise self._translate(error, part.field) from error

    async def describe(self) -> EncoderDescription | None:
        """What the encoder runs; None when it can't be reached."""
        try:
            return await self._client.describe_encoder(timeout_s=_DESCRIBE_TIMEOUT_S)
        except heroserve.HeroserveError:
            return None

    async def close(self) -> None:
        await self._client.close()

    def _translate(self, error: heroserve.HeroserveError, field: str) -> ServiceError:
        if isinstance(error, heroserve.InvalidArgument):
            name, _, problem = error.details.partition(": ")
            if name == "question":
                return InvalidArgument("messages", f"ask a question that the encoder refuses: {problem}")
            # The encoder's "image.data" is that of a message's part here; its other fields are named alike.
            return InvalidArgument(
                f"{field}{name.removeprefix('image')}" if name.startswith("image") else name, problem
            )
        for kind in _SAME:
            if error.code == kind.code:
                if kind is NotFound:
                    return NotFound(f"{field}.digest: {error.details.partition(': ')[2] or error.details}")
                return kind(f"encoder at {self._target}: {error.details}")
        return Internal(f"encoder at {self._target} ended with {error.code.name}: {error.details}")
