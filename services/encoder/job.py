"""What the encoder is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.budget import Budget


@dataclass(frozen=True)
class EncodeJob:
    """One image, one question, one budget.

    Args:
        digest: SHA-256 of the encoded image, in hex.
        data: the encoded image; None if the caller sent only its digest.
        question: not blank.
        budget: of visual tokens to keep.
        explain: tell the terms of each tile's importance.
    """

    digest: str
    data: bytes | None
    question: str
    budget: Budget
    explain: bool
