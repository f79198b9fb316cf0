"""What the LLM service is asked for, whichever door it came in by."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Literal

from services.common.budget import Budget
from services.llm.refusal import Refusal, Role

MAX_TEXT_CHARS = 262_144
MAX_STOPS = 8
MAX_STOP_CHARS = 64
MAX_TEMPERATURE = 2.0
MAX_SCHEMA_CHARS = 65_536
# Levels of objects and arrays in a schema: making a grammar of more takes ever longer.
MAX_SCHEMA_DEPTH = 32

TurnRole = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy; ``max_tokens`` None is the service's default; ``ignore_eos``
    goes on behind a token that ends an answer, as load generators want it; ``json_schema``, the text of a JSON object,
    has the answer be JSON that fits it, and end where that ends."""

    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    json_schema: str | None = None


@dataclass(frozen=True)
class ImagePart:
    """An image: its encoded file, or the SHA-256 of one that the encoder may have, 64 hex digits."""

    data: bytes | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Turn:
    """Who speaks, and the parts of what they say in order."""

    role: TurnRole
    parts: tuple[str | ImagePart, ...]

    @property
    def texts(self) -> list[str]:
        return [part for part in self.parts if isinstance(part, str)]

    @property
    def question(self) -> str:
        """All its texts; "" where they say nothing."""
        return " ".join(text.strip() for text in self.texts).strip()


@dataclass(frozen=True)
class ChatJob:
    """A conversation to go on with.

    Args:
        turns: oldest first; the last is the user's.
        budget: of each image, or of all of them; None is the encoder's default.
        sampling: of the answer.
        replan: plan every image by the last question, not by that of its own turn.
        share_budget: the budget is of all images together.
        explain: tell which visual tokens of each image were kept, and why.
    """

    turns: tuple[Turn, ...]
    budget: Budget | None = None
    sampling: Sampling = Sampling()
    replan: bool = False
    share_budget: bool = False
    explain: bool = False

    @property
    def question(self) -> str:
        """The text of the last turn."""
        return self.turns[-1].question

    @property
    def images(self) -> list[tuple[Role, ImagePart]]:
        """In order, each with its place."""
        return [
            (Role("image", turn=i, item=j), part)
            for i, turn in enumerate(self.turns)
            for j, part in enumerate(turn.parts)
            if isinstance(part, ImagePart)
        ]

    @property
    def questions(self) -> list[str]:
        """For each of ``images``, what tells what is relevant in it.

        The text of its own turn, which no later turn changes: what was sent of an image stays what it was. Where that
        says nothing, the next turn of the user's that does, for with that the image was first asked about.
        """
        return [self.question if self.replan else self._question_of(place.turn or 0) for place, _ in self.images]

    def _question_of(self, turn: int) -> str:
        asked = (later.question for later in self.turns[turn:] if later.role == "user")
        return next(filter(None, asked), self.question)


def check(job: ChatJob, max_images: int) -> None:
    """Raises:
    Refusal: something is missing or out of range.
    """
    if not job.turns:
        raise Refusal(Role("messages"), "is empty; the last message is the user's question")
    for index, turn in enumerate(job.turns):
        _check_turn(index, turn)
    last = len(job.turns) - 1
    if job.turns[-1].role != "user":
        raise Refusal(Role("message_role", turn=last), f"is {job.turns[-1].role}; the last message must be the user's")
    if not job.question:
        raise Refusal(Role("parts", turn=last), "has no text; ask a question with at least one text part")
    characters = sum(len(text) for turn in job.turns for text in turn.texts)
    if characters > MAX_TEXT_CHARS:
        raise Refusal(Role("messages"), f"have {characters} characters; the limit is {MAX_TEXT_CHARS}")
    _check_sampling(job.sampling)
    if len(job.images) > max_images:
        raise Refusal(Role("messages"), f"have {len(job.images)} images; the limit is {max_images}")


def _check_turn(index: int, turn: Turn) -> None:
    if not turn.parts:
        raise Refusal(Role("parts", turn=index), "is empty; at least one part is needed")
    for item, part in enumerate(turn.parts):
        if not isinstance(part, ImagePart):
            continue
        if part.data is None and part.digest is None:
            raise Refusal(Role("image", turn=index, item=item), "is missing; send data or a digest")
        if part.data == b"":
            raise Refusal(Role("image_data", turn=index, item=item), "is empty; send the encoded file or a digest")
    if turn.role != "user" and len(turn.texts) < len(turn.parts):
        raise Refusal(Role("parts", turn=index), f"has an image; {turn.role} messages take text only")


def _check_sampling(sampling: Sampling) -> None:
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        raise Refusal(Role("max_tokens"), f"is {sampling.max_tokens}; it must be at least 1")
    temperature, top_p = sampling.temperature, sampling.top_p
    if math.isnan(temperature) or not 0 <= temperature <= MAX_TEMPERATURE:
        raise Refusal(Role("temperature"), f"is {temperature:g}; it must be 0 to {MAX_TEMPERATURE:g}")
    if math.isnan(top_p) or not 0 < top_p <= 1:
        raise Refusal(Role("top_p"), f"is {top_p:g}; it must be above 0 and at most 1")
    if len(sampling.stop) > MAX_STOPS:
        raise Refusal(Role("stop"), f"has {len(sampling.stop)} strings; the limit is {MAX_STOPS}")
    for item, stop in enumerate(sampling.stop):
        if not 1 <= len(stop) <= MAX_STOP_CHARS:
            raise Refusal(Role("stop", item=item), f"has {len(stop)} characters; it must have 1 to {MAX_STOP_CHARS}")
    if sampling.json_schema is not None:
        _check_schema(sampling.json_schema)


def _check_schema(schema: str) -> None:
    if len(schema) > MAX_SCHEMA_CHARS:
        raise Refusal(Role("json_schema"), f"has {len(schema)} characters; the limit is {MAX_SCHEMA_CHARS}")
    try:
        found = json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise Refusal(Role("json_schema"), f"is no JSON ({type(error).__name__}); it must be a JSON object") from error
    if not isinstance(found, dict):
        raise Refusal(Role("json_schema"), "is JSON, and no object; it must be a JSON Schema")
    level: list[object] = [found]
    for _ in range(MAX_SCHEMA_DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
    if level:
        raise Refusal(Role("json_schema"), f"is nested more than {MAX_SCHEMA_DEPTH} levels deep")


def _within(value: object) -> list[object]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [each for each in inner if isinstance(each, dict | list)]
