"""Reading what a JSON request holds: a value of the right kind, or a refusal that names its field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from heroserve import json_values
from heroserve.sources import why_no_text
from services.common.errors import InvalidArgument, ServiceError
from services.common.http_call import HttpError
from services.common.shown import one_line, shown
from services.llm.doors.words import Words
from services.llm.refusal import Refusal, Role, RoleName

# As OpenAI's API calls it, but for what has two names; HERO's own are in the object that it does not know.
_FIELDS: dict[RoleName, str] = {
    "messages": "messages",
    "message_role": "messages[{turn}].role",
    "parts": "messages[{turn}].content",
    "text": "messages[{turn}].content[{item}].text",
    "image": "messages[{turn}].content[{item}].image_url",
    "image_data": "messages[{turn}].content[{item}].image_url.url",
    "image_digest": "messages[{turn}].content[{item}].image_url.url",
    "budget": "heroserve",
    "retention": "heroserve.retention",
    "max_visual_tokens": "heroserve.max_visual_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "json_schema": "response_format",
}


class OpenAiWords(Words):
    """OpenAI's.

    Args:
        fields: as ``Words`` has them.
        named: the field that says which image it is, by turn and item; an image may be named in several ways.
    """

    def __init__(self, fields: Mapping[RoleName, str], named: Mapping[tuple[int, int], str]) -> None:
        super().__init__(fields)
        self._named = named

    def spell(self, role: Role) -> str:
        place = (role.turn, role.item)
        if role.name.startswith("image") and role.turn is not None and role.item is not None and place in self._named:
            return self._named[role.turn, role.item]
        return super().spell(role)

    def refused(self, refusal: Refusal) -> ServiceError:
        if refusal.missing:
            return no_such_file(self.spell(refusal.role))
        return super().refused(refusal)


def words(limit: str, named: Mapping[tuple[int, int], str]) -> Words:
    """For a caller who calls the length of an answer ``limit``, and images as ``named`` (see ``OpenAiWords``)."""
    return OpenAiWords({**_FIELDS, "max_tokens": limit}, named)


# Of an upload.
FILE_WORDS = OpenAiWords({"messages": "file", "image": "file", "image_data": "file", "image_digest": "id"}, {})


def wrong(field: str, value: object, expected: str) -> InvalidArgument:
    """A value of the wrong kind."""
    return InvalidArgument(field, f"is {one_line(kind(value), 80)}; it must be {expected}")


def kind(value: object) -> str:
    """What JSON calls it, and itself where that is short."""
    match value:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return "an array"
        case str():
            return f"the string {shown(value)}" if len(value) <= 40 else f"a string of {len(value)} characters"
        case bool():
            return "true" if value else "false"
        case _:
            return shown(value)


def text(field: str, value: object) -> str:
    """A string that a tokenizer can read: JSON can hold halves of characters, which are none."""
    if not isinstance(value, str):
        raise wrong(field, value, "a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(field, why_no_text(error)) from None
    return value


def number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(field, value, "a number")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def whole(field: str, value: object, low: int, high: int) -> int:
    """A whole number in [low, high]; 5.0 is one, as some languages write it."""
    return json_values.whole(field, value, low, high, wrong)


def flag(field: str, value: object) -> bool:
    """Null is no."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong(field, value, "true or false")
    return value


def mapping(field: str, value: object) -> Mapping[str, Any]:
    """Null is empty."""
    return json_values.mapping(field, value, wrong)


def no_such_model(name: str, served: str) -> HttpError:
    problem = f"{one_line(kind(name), 120)} is not served here, {one_line(served)} is"
    return HttpError(404, "model_not_found", "model", problem)


def no_such_file(field: str) -> HttpError:
    problem = "is no image that is kept for you (any more), or not as much of it as this budget needs; upload it to "
    return HttpError(404, "file_not_found", field, f"{problem}/v1/files again, or send data:image/png;base64,...")
