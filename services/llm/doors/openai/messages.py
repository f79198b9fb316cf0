"""A message of a request, to who speaks and the parts of what they say."""

from __future__ import annotations

from services.common.errors import InvalidArgument
from services.llm.doors.openai import fields
from services.llm.doors.openai.images import KINDS, Named, parse_image
from services.llm.job import TurnRole
from services.llm.web.fetcher import ImageFetcher

_ROLES: dict[object, TurnRole] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
# How its newer API, and others, call what is said.
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


def parse_turn(field: str, message: object, fetcher: ImageFetcher) -> tuple[TurnRole, list[str | Named]]:
    """Who says it, and its parts.

    Args:
        field: of the message.
        message: off the wire.
        fetcher: knows which addresses may be asked.

    Raises:
        InvalidArgument: it is none.
    """
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
        return _ROLES[role], [fields.text(f"{field}.content", content)]
    if not isinstance(content, list):
        raise fields.wrong(f"{field}.content", content, "a string or an array of parts")
    return _ROLES[role], [_part(f"{field}.content[{i}]", part, fetcher) for i, part in enumerate(content)]


def _part(field: str, part: object, fetcher: ImageFetcher) -> str | Named:
    if isinstance(part, str):
        return fields.text(field, part)
    if not isinstance(part, dict):
        raise fields.wrong(field, part, "a part, which is an object")
    kind = part.get("type")
    if isinstance(kind, str) and kind in _TEXTS:
        return fields.text(f"{field}.{_TEXTS[kind]}", part.get(_TEXTS[kind]))
    if isinstance(kind, str) and kind in KINDS:
        return parse_image(field, part, fetcher)
    raise fields.wrong(f"{field}.type", kind, "text or image_url (or image_file, file, input_text, input_image)")
