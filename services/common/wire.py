"""What both services read off the wire alike."""

from __future__ import annotations

from heroserve.v1 import tokens_pb2
from services.common.budget import Budget, BudgetError, MaxVisualTokens, Retention
from services.common.errors import InvalidArgument

# CLIP reads 77 tokens of a question; this keeps a tokenizer from chewing on a book.
MAX_QUESTION_CHARS = 32_768


def parse_budget(message: tokens_pb2.Budget) -> Budget | None:
    """None where the caller leaves it to the service.

    Raises:
        InvalidArgument: it is out of range.
    """
    try:
        match message.WhichOneof("limit"):
            case "retention":
                return Retention(message.retention)
            case "max_visual_tokens":
                return MaxVisualTokens(message.max_visual_tokens)
            case _:
                return None
    except BudgetError as error:
        raise InvalidArgument(f"budget.{error.kind}", error.problem) from error
