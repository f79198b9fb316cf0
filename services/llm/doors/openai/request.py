"""A chat completion that is asked for, to a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from heroserve.openai_body import limit
from services.common.budget import Budget, BudgetError, MaxVisualTokens, Retention
from services.common.errors import InvalidArgument
from services.common.shown import one_line
from services.llm.doors.openai import fields, neutral
from services.llm.doors.openai.images import Named
from services.llm.doors.openai.messages import parse_turn
from services.llm.doors.openai.sampling import MOST_TOKENS, sampling
from services.llm.doors.words import Words
from services.llm.job import ChatJob, ImagePart, Turn
from services.llm.web.fetcher import ImageFetcher

# OpenAI's own price of an image that is asked for with low detail.
LOW_DETAIL = MaxVisualTokens(85)
_BUDGETS = ("retention", "max_visual_tokens")
_FLAGS = ("replan", "share_budget", "explain")
_KNOBS = (*_BUDGETS, *_FLAGS)

# Index of a turn, and of a part within it.
Place = tuple[int, int]


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
        named: the field that says which image it is, by turn and item.
        addresses: of those that are still to be fetched.
    """

    job: ChatJob
    model: str
    limit: str = "max_tokens"
    stream: bool = False
    usage: bool = False
    usage_throughout: bool = False
    named: Mapping[Place, str] = field(default_factory=dict)
    addresses: Mapping[Place, URL] = field(default_factory=dict)

    @property
    def words(self) -> Words:
        """The caller's own."""
        return fields.words(self.limit, self.named)


def parse(body: Mapping[str, Any], fetcher: ImageFetcher, detail: bool = False) -> Asked:
    """What the heart can't tell is checked here; the rest, what is out of range, there.

    Args:
        body: of the request.
        fetcher: knows which addresses may be asked; nothing is fetched here.
        detail: whether an image's ``detail`` chooses a budget.

    Raises:
        InvalidArgument: a field is of the wrong kind, or an image or a budget is none.
        HttpError: a field would change the answer, and is not served.
    """
    neutral.check(body)
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise fields.wrong("messages", messages, "an array of messages")
    parsed = [parse_turn(f"messages[{i}]", message, fetcher) for i, message in enumerate(messages)]
    images = {
        (i, j): part for i, (_, parts) in enumerate(parsed) for j, part in enumerate(parts) if isinstance(part, Named)
    }
    turns = tuple(Turn(role, tuple(map(_for_the_heart, parts))) for role, parts in parsed)
    knobs = _knobs(body.get("heroserve"))
    budget = _budget(knobs)
    if budget is None and detail and {image.detail for image in images.values()} == {"low"}:
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
        named={place: image.field for place, image in images.items()},
        addresses={place: image.url for place, image in images.items() if image.url is not None},
    )


def _for_the_heart(part: str | Named) -> str | ImagePart:
    return part.image if isinstance(part, Named) else part


def _knobs(knobs: object) -> dict[str, Any]:
    """HERO's, by name; null is as good as not there."""
    given = {name: value for name, value in fields.mapping("heroserve", knobs).items() if value is not None}
    for name in given:
        if name not in _KNOBS:
            raise InvalidArgument(f"heroserve.{one_line(name, 60)}", f"is no option; {', '.join(_KNOBS)} are")
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
