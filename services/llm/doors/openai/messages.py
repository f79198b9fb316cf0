"""A message of a request, to who speaks and the parts of what they say."""

from __future__ import annotations

from heroserve.openai_body import TEXTS, turn
from services.common.errors import InvalidArgument
from services.llm.doors.openai import fields
from services.llm.doors.openai.images import KINDS, Named, parse_image
from services.llm.job import TurnRole
from services.llm.web.fetcher import ImageFetcher


def parse_turn(field: str, message: object, fetcher: ImageFetcher) -> tuple[TurnRole, list[str | Named]]:
    """Who says it, and its parts.

    Args:
        field: of the message.
        message: off the wire.
        fetcher: knows which addresses may be asked.

    Raises:
        InvalidArgument: it is none.
    """
    role, content = turn(field, message, fields.wrong, InvalidArgument)
    if isinstance(content, str):
        return role, [fields.text(f"{field}.content", content)]
    return role, [_part(f"{field}.content[{i}]", part, fetcher) for i, part in enumerate(content)]


def _part(field: str, part: object, fetcher: ImageFetcher) -> str | Named:
    if isinstance(part, str):
        return fields.text(field, part)
    if not isinstance(part, dict):
        raise fields.wrong(field, part, "a part, which is an object")
    kind = part.get("type")
    if isinstance(kind, str) and kind in TEXTS:
        return fields.text(f"{field}.{TEXTS[kind]}", part.get(TEXTS[kind]))
    if isinstance(kind, str) and kind in KINDS:
        return parse_image(field, part, fetcher)
    raise fields.wrong(f"{field}.type", kind, "text or image_url (or image_file, file, input_text, input_image)")
