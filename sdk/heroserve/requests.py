"""Requests out of plain arguments.

Ranges are the service's to check: its errors name the field and the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict, TypeVar

from google.protobuf.message import Message as ProtoMessage

from heroserve.images import ImageSource, load_image
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part, Sampling
from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.tokens_pb2 import Budget

if TYPE_CHECKING:
    from typing_extensions import Unpack

M = TypeVar("M", bound=ProtoMessage)


class GenerateOptions(TypedDict, total=False):
    """What an answer may cost and how it is drawn; None or absent takes the service's default.

    Keys:
        retention: share of each image's visual tokens to keep, in (0, 1].
        max_visual_tokens: number of visual tokens to keep of each image; instead of `retention`.
        max_tokens: tokens to generate at most.
        temperature: 0 is greedy.
        top_p: nucleus size in (0, 1].
        seed: makes a drawn answer repeatable.
        stop: strings that end the answer and are no part of it.
    """

    retention: float | None
    max_visual_tokens: int | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: str | Sequence[str]


def user(text: str, *images: ImageSource) -> Message:
    """A user's message: images first, then the text. Raises ImageError."""
    parts = [Part(image=load_image(image)) for image in images]
    return Message(role=Message.USER, parts=[*parts, Part(text=text)])


def assistant(text: str) -> Message:
    """An earlier answer."""
    return Message(role=Message.ASSISTANT, parts=[Part(text=text)])


def system(text: str) -> Message:
    """Instructions; the first message, if any."""
    return Message(role=Message.SYSTEM, parts=[Part(text=text)])


def generate_request(
    messages: Sequence[Message],
    *,
    retention: float | None = None,
    max_visual_tokens: int | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] = (),
) -> GenerateRequest:
    """A conversation to go on with, oldest message first; options as in `GenerateOptions`.

    Raises ValueError when both budgets are given, or a number does not fit its field at all.
    """
    sampling = Sampling(stop=[stop] if isinstance(stop, str) else stop)
    _fill(sampling, max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)
    return GenerateRequest(messages=messages, budget=_budget(retention, max_visual_tokens), sampling=sampling)


def ask_request(image: ImageSource | None, question: str, **options: Unpack[GenerateOptions]) -> GenerateRequest:
    """One question about one image, or about none. Raises ImageError and what `generate_request` raises."""
    return generate_request([user(question, *([] if image is None else [image]))], **options)


def encode_request(
    image: ImageSource,
    question: str,
    *,
    retention: float | None = None,
    max_visual_tokens: int | None = None,
    explain: bool = False,
) -> EncodeRequest:
    """The visual tokens of an image for a question. Raises ImageError, and ValueError as above."""
    budget = _budget(retention, max_visual_tokens)
    return EncodeRequest(image=load_image(image), question=question, budget=budget, explain=explain)


def _budget(retention: float | None, max_visual_tokens: int | None) -> Budget | None:
    if retention is not None and max_visual_tokens is not None:
        raise ValueError("retention and max_visual_tokens are two ways to say the same: give one")
    if retention is not None:
        return _fill(Budget(), retention=retention)
    if max_visual_tokens is not None:
        return _fill(Budget(), max_visual_tokens=max_visual_tokens)
    return None


def _fill(message: M, **fields: float | None) -> M:
    """Set the fields that are not None; protobuf's complaints about a value gain the field's name."""
    for name, value in fields.items():
        if value is not None:
            try:
                setattr(message, name, value)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{type(message).__name__}.{name}: {error}") from error
    return message
