"""What the encoder is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.budget import Budget
from services.common.rows import RowDtype


@dataclass(frozen=True)
class EncodeJob:
    """One image, one question, one budget.

    Args:
        digest: SHA-256 of the encoded image, in hex.
        data: the encoded image; None if the caller sent only its digest.
        question: not blank.
        budget: of visual tokens to keep.
        explain: tell the terms of each tile's importance.
        with_base: keep of each tile what no question changes, and tell which rows those are.
        plan_only: send no rows, and count none; tell which they would be where it is explained.
        rows: in which dtype to send them; None is as they are cached.
        streamed: in pieces, so that no message has to hold all of them.
        scope: of callers who share what is cached of it; empty for all.
    """

    digest: str
    data: bytes | None
    question: str
    budget: Budget
    explain: bool
    scope: str = ""
    plan_only: bool = False
    with_base: bool = False
    rows: RowDtype | None = None
    streamed: bool = False

    @property
    def name(self) -> str:
        """What of the image is cached and shared by this."""
        return f"{self.scope}:{self.digest}" if self.scope else self.digest
