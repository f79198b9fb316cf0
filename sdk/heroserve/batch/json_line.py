"""JSON of one line, and its fields, read strictly: what is wrong is told by name."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from heroserve import json_values
from heroserve.errors import ArgumentError

# More of them nothing here holds; Python itself reads 4300 of a whole number.
_MOST_DIGITS = 1000


def read_object(data: bytes) -> dict[str, Any]:
    """Raises ArgumentError for what is no object of JSON, or has a key twice."""
    try:
        # Not from bytes: then it might be UTF-16, too.
        found = json.loads(data.decode(), object_pairs_hook=_once, parse_int=_whole, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ArgumentError(f"is not UTF-8: byte {error.start + 1} is {data[error.start]:#04x}") from None
    except RecursionError:
        raise ArgumentError("is JSON of too many objects in one another") from None
    except ArgumentError:
        raise
    except json.JSONDecodeError as error:  # of lines it knows one
        raise ArgumentError(f"is no JSON: {error.msg} in column {error.colno}") from None
    except ValueError as error:
        raise ArgumentError(f"is no JSON: {str(error)[:100]}") from None
    if not isinstance(found, dict):
        raise ArgumentError(f"is {kind(found)}; a question is an object of JSON")
    return found


def refused(name: str, problem: str) -> ArgumentError:
    return ArgumentError(f"{name}: {problem}")


def wrong(name: str, value: object, expected: str) -> ArgumentError:
    return refused(name, f"is {kind(value)}; it must be {expected}")


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise wrong(name, value, "a string")
    return value


def mapping(name: str, value: object) -> dict[str, Any]:
    """Null is empty."""
    return json_values.mapping(name, value, wrong)


def kind(value: object) -> str:
    """What JSON calls it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ArgumentError(f"has {twice[:60]!r} twice")
    return found


def _whole(written: str) -> int:
    digits = len(written.removeprefix("-"))
    if digits > _MOST_DIGITS:
        raise ArgumentError(f"has a number of {digits} digits; the limit is {_MOST_DIGITS}")
    return int(written)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")
