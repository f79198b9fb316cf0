"""What an EncodeRequest asks for, checked: every refusal names the field and the limit."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass

from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.tokens_pb2 import Budget
from services.common.errors import InvalidArgument
from services.encoder.image import ImageLimits, check_size

MAX_QUESTION_CHARS = 32_768
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class EncodeJob:
    """One image, one question, one budget.

    Args:
        digest: SHA-256 of the encoded image, in hex.
        data: the encoded image; None if the caller sent only its digest.
        question: not blank.
        retention, max_tokens: one of them; the other is None.
        explain: tell the terms of each tile's importance.
    """

    digest: str
    data: bytes | None
    question: str
    retention: float | None
    max_tokens: int | None
    explain: bool


def parse_request(request: EncodeRequest, limits: ImageLimits, default_retention: float) -> EncodeJob:
    """Raises:
    InvalidArgument: a field is missing or out of range.
    """
    question = request.question.strip()
    if not question:
        raise InvalidArgument("question", "is empty; it decides which tokens are kept")
    if len(question) > MAX_QUESTION_CHARS:
        raise InvalidArgument(
            "question", f"is {len(question)} characters; the limit is {MAX_QUESTION_CHARS}"
        )
    retention, max_tokens = _parse_budget(request.budget, default_retention)
    digest, data = _parse_image(request, limits)
    return EncodeJob(digest, data, question, retention, max_tokens, request.explain)


def _parse_budget(budget: Budget, default_retention: float) -> tuple[float | None, int | None]:
    limit = budget.WhichOneof("limit")
    if limit == "max_tokens":
        if budget.max_tokens < 1:
            raise InvalidArgument("budget.max_tokens", "is 0; the limit is at least 1")
        return None, budget.max_tokens
    retention = budget.retention if limit == "retention" else default_retention
    if math.isnan(retention) or not 0 < retention <= 1:
        raise InvalidArgument("budget.retention", f"is {retention:g}; it must be above 0 and at most 1")
    return retention, None


def _parse_image(request: EncodeRequest, limits: ImageLimits) -> tuple[str, bytes | None]:
    source = request.image.WhichOneof("source")
    if source == "digest":
        digest = request.image.digest
        if not _DIGEST.fullmatch(digest):
            raise InvalidArgument("image.digest", "must be a SHA-256, 64 lower-case hex digits")
        return digest, None
    if source == "data":
        check_size(request.image.data, limits)
        return hashlib.sha256(request.image.data).hexdigest(), request.image.data
    raise InvalidArgument("image", "is missing; send data or a digest")
