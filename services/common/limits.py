"""What both services check alike."""

from __future__ import annotations

import math

from heroserve.v1.tokens_pb2 import Budget
from services.common.errors import InvalidArgument

# CLIP reads 77 tokens of a question; this keeps a tokenizer from chewing on a book.
MAX_QUESTION_CHARS = 32_768


def check_budget(budget: Budget) -> None:
    """Raises:
    InvalidArgument: retention outside (0, 1], or no token at all.
    """
    limit = budget.WhichOneof("limit")
    if limit == "max_visual_tokens" and budget.max_visual_tokens < 1:
        raise InvalidArgument("budget.max_visual_tokens", "is 0; it must be at least 1")
    if limit == "retention" and (math.isnan(budget.retention) or not 0 < budget.retention <= 1):
        raise InvalidArgument("budget.retention", f"is {budget.retention:g}; it must be above 0 and at most 1")
