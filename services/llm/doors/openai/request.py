"""A chat completion that is asked for, to a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.budget import Budget, BudgetError, MaxVisualTokens, Retention
from services.common.errors import InvalidArgument
from services.llm.doors.openai import fields, neutral
from services.llm.doors.openai.images import parse_image
from services.llm.doors.openai.sampling import MOST_TOKENS, limit, sampling
from services.llm.job import ChatJob, ImagePart, Turn, TurnRole

_ROLES: dict[object, TurnRole] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
# OpenAI's own price of an image that is asked for with low detail.
LOW_DETAIL = MaxVisualTokens(85)
_BUDGETS = ("retention", "max_visual_tokens")
_FLAGS = ("replan", "share_budget")
_KNOBS = (*_BUDGETS, *_FLAGS)


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Args:
        job: for the heart.
        model: as the caller calls it; empty if not at all.
        limit: what the caller calls the length of an answer.
        stream: the answer as it comes.
        usage: with a last piece that tells what it took.
        usage_throughout: every piece tells so far.
    """

    job: ChatJob
    model: str
    limit: str = "max_tokens"
    stream: bool = False
    usage: bool = False
    usage_throughout: bool = False


def parse(body: Mapping[str, Any], detail: bool = False) -> Asked:
    """What the heart can't tell is checked here; the rest, what is out of range, there.

    Args:
        body: of the request.
        detail: whether an image's ``detail`` chooses a budget.

    Raises:
        InvalidArgument: a field is of the wrong kind, or an image or a budget is none.
        HttpError: a field would change the answer, and is not served.
    """
    neutral.check(body)
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise fields.wrong("messages", messages, "an array of messages")
    details: list[str] = []
    turns = tuple(_turn(f"messages[{i}]", message, details) for i, message in enumerate(messages))
    knobs = _knobs(body.get("heroserve"))
    budget = _budget(knobs)
    if budget is None and detail and details and set(details) == {"low"}:
        budget = LOW_DETAIL
    flags = {name: fields.flag(f"heroserve.{name}", knobs.get(name)) for name in _FLAGS}
    model = body.get("model")
    options = fields.mapping("stream_options", body.get("stream_options"))
    usage = fields.flag("stream_options.include_usage", options.get("include_usage"))
    throughout = fields.flag("stream_options.continuous_usage_stats", options.get("continuous_usage_stats"))
    return Asked(
        job=ChatJob(turns, budget, sampling(body), **flags),
        model="" if model is None else fields.text("model", model),
        limit=limit(body),
        stream=fields.flag("stream", body.get("stream")),
        usage=usage,
        usage_throughout=usage and throughout,
    )


def _turn(field: str, message: object, details: list[str]) -> Turn:
    if not isinstance(message, dict):
        raise fields.wrong(field, message, "a message, which is an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise fields.wrong(f"{field}.role", role, "system, developer, user or assistant")
    if message.get("tool_calls") or message.get("function_call"):
        raise InvalidArgument(f"{field}.tool_calls", "are not served: the model calls no tools")
    content = message.get("content")
    if content is None and role == "assistant":
        # As an answer that says nothing comes back.
        content = ""
    if isinstance(content, str):
        return Turn(_ROLES[role], (fields.text(f"{field}.content", content),))
    if not isinstance(content, list):
        raise fields.wrong(f"{field}.content", content, "a string or an array of parts")
    return Turn(_ROLES[role], tuple(_part(f"{field}.content[{i}]", part, details) for i, part in enumerate(content)))


def _part(field: str, part: object, details: list[str]) -> str | ImagePart:
    if isinstance(part, str):
        return fields.text(field, part)
    if not isinstance(part, dict):
        raise fields.wrong(field, part, "a part, which is an object")
    kind = part.get("type")
    if kind == "text":
        return fields.text(f"{field}.text", part.get("text"))
    if kind == "image_url":
        image, detail = parse_image(field, part)
        details.append(detail)
        return image
    raise fields.wrong(f"{field}.type", kind, "text or image_url")


def _knobs(knobs: object) -> dict[str, Any]:
    """HERO's, by name; null is as good as not there."""
    given = {name: value for name, value in fields.mapping("heroserve", knobs).items() if value is not None}
    for name in given:
        if name not in _KNOBS:
            raise InvalidArgument(f"heroserve.{name[:60]}", f"is no option; {', '.join(_KNOBS)} are")
    return given


def _budget(knobs: Mapping[str, Any]) -> Budget | None:
    given = {name: knobs[name] for name in _BUDGETS if name in knobs}
    if len(given) > 1:
        raise InvalidArgument("heroserve", f"has both {' and '.join(given)}; name one")
    try:
        for name, value in given.items():
            if name == "retention":
                return Retention(fields.number(f"heroserve.{name}", value))
            return MaxVisualTokens(fields.whole(f"heroserve.{name}", value, 1, MOST_TOKENS))
    except BudgetError as error:
        raise InvalidArgument(f"heroserve.{error.kind}", error.problem) from error
    return None
