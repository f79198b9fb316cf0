"""What an EncodeRequest asks for, checked: every refusal names the field and the limit."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from heroserve.v1.encoder_pb2 import EncodeRequest
from services.common.errors import InvalidArgument
from services.common.limits import MAX_QUESTION_CHARS, check_budget
from services.encoder.image import ImageLimits, check_size

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
        raise InvalidArgument("question", f"is {len(question)} characters; the limit is {MAX_QUESTION_CHARS}")
    check_budget(request.budget)
    limit = request.budget.WhichOneof("limit")
    digest, data = _parse_image(request, limits)
    return EncodeJob(
        digest=digest,
        data=data,
        question=question,
        retention=None if limit == "max_visual_tokens" else request.budget.retention or default_retention,
        max_tokens=request.budget.max_visual_tokens if limit == "max_visual_tokens" else None,
        explain=request.explain,
    )


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
