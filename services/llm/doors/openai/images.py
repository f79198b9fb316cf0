"""Images as parts of messages name them, each client in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from heroserve.errors import ImageError
from heroserve.openai_body import file_digest
from heroserve.sources import read_path
from services.common.http_call import HttpError
from services.common.shown import shown
from services.llm.doors.openai import fields
from services.llm.job import ImagePart
from services.llm.web.error import FetchError
from services.llm.web.fetcher import ImageFetcher

_DETAILS = ("auto", "low", "high", "original")
# Of a part, the object that says which image it is, where there is one. ``input_`` is how OpenAI's newer API has them.
KINDS = {
    "image_url": "image_url",
    "image_file": "image_file",
    "file": "file",
    "input_image": "image_url",
    "input_file": "",
}
# What says it in there, the first that is given; the last is what a refusal is about where none is.
_SOURCES = {
    "image_url": ("url", "file_id"),
    "image_file": ("file_id",),
    "file": ("file_data", "file_url", "file_id"),
    "": ("file_data", "file_url", "file_id"),
}
# Of URLs that are looked at.
_SCHEMES = ("data", "http", "https")
_SEND = "send data:image/png;base64,... with the picture's file, or an id that /v1/files gave for it"


@dataclass(frozen=True)
class Named:
    """An image of a request.

    Args:
        image: which; empty where it is still to be fetched.
        field: that says so.
        detail: "auto" if it names none.
        url: where it is to be fetched from.
    """

    image: ImagePart
    field: str
    detail: str
    url: URL | None = None


def parse_image(field: str, part: Mapping[str, Any], fetcher: ImageFetcher) -> Named:
    """A part that is an image.

    Args:
        field: of the part.
        part: whatever else it holds is its client's own business.
        fetcher: knows which addresses may be asked.

    Raises:
        InvalidArgument: there is no image in it.
        HttpError: what says which is no URL, none that is taken, or one that may not be asked for.
    """
    name = KINDS[part["type"]]
    field, found, detail = (f"{field}.{name}" if name else field), part.get(name) if name else part, part.get("detail")
    if found is None and part.get("file_id") is not None:
        field, found = f"{field.rpartition('.')[0]}.file_id", part["file_id"]
    if isinstance(found, dict):
        detail = found.get("detail", detail)
        sources = _SOURCES[name]
        key = next((each for each in sources if found.get(each) is not None), sources[0 if name == "image_url" else -1])
        field, found = f"{field}.{key}", found.get(key)
    text = fields.text(field, found).strip()
    image, url = _image(field, text, fetcher)
    return Named(image, field, detail if detail in _DETAILS else "auto", url)


def _image(field: str, text: str, fetcher: ImageFetcher) -> tuple[ImagePart, URL | None]:
    if digest := file_digest(text):
        return ImagePart(digest=digest), None
    by_id = field.endswith(".file_id")
    scheme, colon, rest = text.partition(":")
    # Some clients have but that one field for an address.
    if not colon or not scheme.isalpha() or (by_id and scheme.lower() not in _SCHEMES):
        what = "is no URL"
        if by_id or text.startswith("file-"):
            what = f"{shown(text)} is no id that /v1/files gives"
        raise _refused(field, f"{what}; {_SEND}")
    if scheme.lower() in ("http", "https"):
        try:
            return ImagePart(), fetcher.check(text)
        except FetchError as error:
            raise unfetched(field, error) from error
    if scheme.lower() != "data":
        raise _refused(field, f"is a {scheme[:20]}: URL; {_SEND}")
    if "," not in rest:
        raise _refused(field, "is a data: URL without a comma; write data:image/png;base64,...")
    try:
        return ImagePart(data=read_path(text)), None
    except ImageError as error:
        # The SDK's words, behind its name for the field.
        raise _refused(field, str(error).partition(": ")[2]) from error


def unfetched(field: str, error: FetchError) -> HttpError:
    """Whether it may not be asked for or was asked for in vain."""
    return _refused(field, error.problem)


def _refused(field: str, problem: str) -> HttpError:
    return HttpError(400, "invalid_image_url", field, problem)
