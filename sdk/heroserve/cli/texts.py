"""Words of an option or an argument: checked before anything is sent."""

from __future__ import annotations

import json

import typer

from heroserve.cli.told import one_line
from heroserve.target import address

# The LLM service's own; a test holds them to it.
MAX_STOPS = 8
MAX_STOP_CHARS = 64


def address_of(value: str) -> str:
    target = value.strip()  # a variable's may end with its line
    try:
        address(target)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return target


def header(value: str | None) -> str | None:
    """A key from a file often ends with its line, and gRPC takes no such header."""
    key = value.strip() if value else value
    if key and not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("a key has printable ASCII characters only")
    return key


def unicode(value: str) -> str:
    """What can be sent as text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("is not UTF-8") from None
    return value


def question(value: str | None) -> str | None:
    """One that says something; where it is an option, it need not be there."""
    if value is not None and not unicode(value).strip():
        raise typer.BadParameter("is empty; it decides which visual tokens are kept")
    return value


def instructions(value: str | None) -> str | None:
    if value is not None and not unicode(value).strip():
        raise typer.BadParameter("is empty; leave it out for none")
    return value


def stops(values: list[str] | None) -> list[str]:
    for value in values or ():
        if not 1 <= len(unicode(value)) <= MAX_STOP_CHARS:
            raise typer.BadParameter(f"has {len(value)} characters; it must have 1 to {MAX_STOP_CHARS}")
    if len(values or ()) > MAX_STOPS:
        raise typer.BadParameter(f"is given {len(values or ())} times; the limit is {MAX_STOPS}")
    return values or []


def schema(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        found = json.loads(unicode(value))
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"is no JSON ({one_line(str(error), 100)}); it must be a JSON object") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("is JSON, and no object; it must be a JSON Schema")
    return value
