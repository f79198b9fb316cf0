"""What is wrong with the bytes a caller sent, in one line."""

from __future__ import annotations

from services.common.errors import InvalidArgument

FIELD = "image.data"
_LONGEST = 200


def refused(problem: str) -> InvalidArgument:
    return InvalidArgument(FIELD, problem)


def reason(error: BaseException) -> str:
    """A decoder's words, or its exception's name where it has none: short, and in one line."""
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__
