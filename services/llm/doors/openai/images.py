"""Images as parts of messages name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heroserve.errors import ImageError
from heroserve.sources import read_path
from services.common.errors import InvalidArgument
from services.llm.doors.openai import fields
from services.llm.job import ImagePart

_DETAILS = ("auto", "low", "high", "original")


def parse_image(field: str, part: Mapping[str, Any]) -> tuple[ImagePart, str]:
    """An ``image_url`` part, and its detail: "auto" if it names none.

    Args:
        field: of the part.
        part: whatever else it holds is its client's own business.

    Raises:
        InvalidArgument: there is no image in it.
    """
    field = f"{field}.image_url"
    found, detail = part.get("image_url"), part.get("detail")
    if isinstance(found, dict):
        detail = found.get("detail", detail)
        field = f"{field}.url"
        found = found.get("url")
    url = fields.text(field, found).strip()
    return ImagePart(data=_of_url(field, url)), detail if detail in _DETAILS else "auto"


def _of_url(field: str, url: str) -> bytes:
    scheme, colon, rest = url.partition(":")
    if not colon or not scheme.isalpha():
        raise InvalidArgument(field, "is no URL; send data:image/png;base64,... with the picture's file in base64")
    if scheme.lower() in ("http", "https"):
        raise InvalidArgument(
            field, "is an address, and nothing is fetched here; send data:image/png;base64,... with the picture's file"
        )
    if scheme.lower() != "data":
        raise InvalidArgument(field, f"is a {scheme[:20]}: URL; send data:image/png;base64,... with the picture's file")
    if "," not in rest:
        raise InvalidArgument(field, "is a data: URL without a comma; write data:image/png;base64,...")
    try:
        return read_path(url)
    except ImageError as error:
        # The SDK's words, behind its name for the field.
        raise InvalidArgument(field, str(error).partition(": ")[2]) from error
