"""A request's bytes to what JSON they are, within bounds that hold before anything is made of them."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from services.common.errors import InvalidArgument
from services.common.shown import one_line
from services.llm.job import MAX_TEXT_CHARS

# Members, elements and their commas, and those of texts as well: base64 has none, so that images don't count.
_MOST_PIECES = 2 * MAX_TEXT_CHARS
# Of a whole number: Python itself reads no more, and says so in words of its own.
_MOST_DIGITS = 4300


def read(data: bytes) -> dict[str, Any]:
    """The object that a request is.

    Raises:
        InvalidArgument: it is none, of too many pieces, or has a number that is too long.
    """
    pieces = data.count(b",") + data.count(b"[") + data.count(b"{")
    if pieces > _MOST_PIECES:
        raise InvalidArgument("body", f"has {pieces} commas and brackets; the limit is {_MOST_PIECES}")
    try:
        # Not from bytes: then it might be UTF-16, too. Some editors put a byte order mark before a file's text.
        found = _JSON.decode(data.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        raise InvalidArgument("body", f"is not UTF-8: byte {error.start + 1} is {data[error.start]:#04x}") from None
    except RecursionError:
        raise InvalidArgument("body", "is JSON of too many objects in one another") from None
    except ValueError as error:
        raise InvalidArgument("body", f"is no JSON: {one_line(str(error), 200)}") from None
    if not isinstance(found, dict):
        raise InvalidArgument("body", "must be an object of JSON")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _whole(digits: str) -> int:
    if (size := len(digits.lstrip("-"))) > _MOST_DIGITS:
        raise InvalidArgument("body", f"has a whole number of {size} digits; the limit is {_MOST_DIGITS}")
    return int(digits)


_JSON = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole)
