"""What a GenerateRequest asks for, checked: every refusal names the field and the limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.chat_pb2 import Sampling as SamplingMessage
from heroserve.v1.tokens_pb2 import Budget, Image
from services.common.errors import InvalidArgument
from services.common.limits import check_budget

MAX_TEXT_CHARS = 262_144
MAX_STOPS = 8
MAX_STOP_CHARS = 64
MAX_TEMPERATURE = 2.0
ROLES = {Message.SYSTEM: "system", Message.USER: "user", Message.ASSISTANT: "assistant"}


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. ``temperature`` 0 is greedy; ``max_tokens`` None is the service's default."""

    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImagePart:
    """An image and where in the request it stands, for errors."""

    field: str
    image: Image


@dataclass(frozen=True)
class Turn:
    """A message: its role by name, its parts in order."""

    role: str
    parts: tuple[str | ImagePart, ...]


@dataclass(frozen=True)
class ChatJob:
    """A conversation to go on with.

    Args:
        turns: oldest first; the last is the user's.
        question: the text of that last turn, which tells what is relevant in the images.
        budget: of each image.
        sampling: of the answer.
    """

    turns: tuple[Turn, ...]
    question: str
    budget: Budget
    sampling: Sampling

    @property
    def images(self) -> list[ImagePart]:
        return [part for turn in self.turns for part in turn.parts if isinstance(part, ImagePart)]


def parse_request(request: GenerateRequest, max_images: int) -> ChatJob:
    """Raises:
    InvalidArgument: a field is missing or out of range.
    """
    if not request.messages:
        raise InvalidArgument("messages", "is empty; the last message is the user's question")
    turns = tuple(_parse_message(f"messages[{i}]", message) for i, message in enumerate(request.messages))
    last = f"messages[{len(turns) - 1}]"
    if turns[-1].role != "user":
        raise InvalidArgument(f"{last}.role", f"is {turns[-1].role}; the last message must be the user's")
    question = " ".join(part.strip() for part in turns[-1].parts if isinstance(part, str)).strip()
    if not question:
        raise InvalidArgument(f"{last}.parts", "has no text; ask a question with at least one text part")
    characters = sum(len(part) for turn in turns for part in turn.parts if isinstance(part, str))
    if characters > MAX_TEXT_CHARS:
        raise InvalidArgument("messages", f"have {characters} characters; the limit is {MAX_TEXT_CHARS}")
    check_budget(request.budget)
    job = ChatJob(turns, question, request.budget, _parse_sampling(request.sampling))
    if len(job.images) > max_images:
        raise InvalidArgument("messages", f"have {len(job.images)} images; the limit is {max_images}")
    return job


def _parse_message(field: str, message: Message) -> Turn:
    if message.role not in ROLES:
        raise InvalidArgument(f"{field}.role", "is missing; it must be SYSTEM, USER or ASSISTANT")
    if not message.parts:
        raise InvalidArgument(f"{field}.parts", "is empty; at least one part is needed")
    parts = tuple(_parse_part(f"{field}.parts[{i}]", part) for i, part in enumerate(message.parts))
    role = ROLES[message.role]
    if role != "user" and any(isinstance(part, ImagePart) for part in parts):
        raise InvalidArgument(f"{field}.parts", f"has an image; a {role} message takes text only")
    return Turn(role, parts)


def _parse_part(field: str, part: Part) -> str | ImagePart:
    content = part.WhichOneof("content")
    if content == "text":
        return part.text
    if content == "image":
        if part.image.WhichOneof("source") is None:
            raise InvalidArgument(f"{field}.image", "is missing; send data or a digest")
        if part.image.WhichOneof("source") == "data" and not part.image.data:
            raise InvalidArgument(f"{field}.image.data", "is empty; send the encoded file or a digest")
        return ImagePart(f"{field}.image", part.image)
    raise InvalidArgument(field, "is empty; it must hold text or an image")


def _parse_sampling(message: SamplingMessage) -> Sampling:
    if message.HasField("max_tokens") and message.max_tokens < 1:
        raise InvalidArgument("sampling.max_tokens", "is 0; it must be at least 1")
    temperature = message.temperature
    if math.isnan(temperature) or not 0 <= temperature <= MAX_TEMPERATURE:
        raise InvalidArgument("sampling.temperature", f"is {temperature:g}; it must be 0 to {MAX_TEMPERATURE:g}")
    top_p = message.top_p if message.HasField("top_p") else 1.0
    if math.isnan(top_p) or not 0 < top_p <= 1:
        raise InvalidArgument("sampling.top_p", f"is {top_p:g}; it must be above 0 and at most 1")
    if len(message.stop) > MAX_STOPS:
        raise InvalidArgument("sampling.stop", f"has {len(message.stop)} strings; the limit is {MAX_STOPS}")
    for i, stop in enumerate(message.stop):
        if not 1 <= len(stop) <= MAX_STOP_CHARS:
            raise InvalidArgument(
                f"sampling.stop[{i}]", f"has {len(stop)} characters; it must have 1 to {MAX_STOP_CHARS}"
            )
    return Sampling(
        max_tokens=message.max_tokens if message.HasField("max_tokens") else None,
        temperature=temperature,
        top_p=top_p,
        seed=message.seed if message.HasField("seed") else None,
        stop=tuple(message.stop),
    )
