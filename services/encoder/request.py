"""What an EncodeRequest asks for, checked: every refusal names the field and the limit."""

from __future__ import annotations

import hashlib
import re

from heroserve.v1.encoder_pb2 import EncodeRequest, Features
from services.common.budget import Retention
from services.common.errors import InvalidArgument
from services.common.rows import RowDtype, sendable, to_wire
from services.common.wire import MAX_QUESTION_CHARS, parse_budget
from services.encoder.images.decode import ImageLimits, check_size
from services.encoder.job import EncodeJob

_DIGEST = re.compile(r"[0-9a-f]{64}")


def parse_request(
    request: EncodeRequest,
    limits: ImageLimits,
    default: Retention,
    scope: str = "",
    *,
    stored: RowDtype = "float32",
    streamed: bool = False,
) -> EncodeJob:
    """A job.

    Args:
        request: the caller's.
        limits: of an image.
        default: its budget where the caller names none.
        scope: whose it is.
        stored: the dtype that rows are kept in.
        streamed: the answer goes in pieces.

    Raises:
        InvalidArgument: a field is missing or out of range.
    """
    question = request.question.strip()
    if not question:
        raise InvalidArgument("question", "is empty; it decides which tokens are kept")
    if len(question) > MAX_QUESTION_CHARS:
        raise InvalidArgument("question", f"is {len(question)} characters; the limit is {MAX_QUESTION_CHARS}")
    budget = parse_budget(request.budget) or default
    digest, data = _parse_image(request, limits)
    return EncodeJob(
        digest=digest,
        data=data,
        question=question,
        budget=budget,
        explain=request.explain,
        scope=scope,
        plan_only=request.plan_only,
        with_base=request.with_base,
        rows=_parse_rows(request.rows, stored),
        streamed=streamed,
    )


def _parse_rows(rows: Features.DType, stored: RowDtype) -> RowDtype | None:
    if rows == Features.DTYPE_UNSPECIFIED:
        return None
    offered = {to_wire(dtype): dtype for dtype in sendable(stored)}
    if rows not in offered:
        *others, last = map(Features.DType.Name, offered)
        asked = Features.DType.Name(rows) if rows in Features.DType.values() else rows
        raise InvalidArgument("rows", f"is {asked}; it must be {', '.join(others)} or {last}, or left out")
    return offered[rows]


def _parse_image(request: EncodeRequest, limits: ImageLimits) -> tuple[str, bytes | None]:
    source = request.image.WhichOneof("source")
    if source == "digest":
        digest = request.image.digest
        if not _DIGEST.fullmatch(digest):
            raise InvalidArgument("image.digest", "must be a SHA-256, 64 lower-case hex digits")
        return digest, None
    if source == "data":
        # Each time it is asked for it is copied.
        data = request.image.data
        check_size(data, limits)
        return hashlib.sha256(data).hexdigest(), data
    raise InvalidArgument("image", "is missing; send data or a digest")
