"""Options and arguments that commands share; ranges are checked here, before anything is sent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Annotated

import typer

from heroserve.cli.fields import IMAGE, QUESTION
from heroserve.cli.pictures import complete_picture
from heroserve.cli.told import one_line
from heroserve.target import address

_UINT32 = (1 << 32) - 1
_UINT64 = (1 << 64) - 1
# The LLM service's own; a test holds them to it.
MAX_STOPS = 8
MAX_STOP_CHARS = 64


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`, of what was typed."""

    def parse(text: str) -> int:
        try:
            value = int(text) if _plain(text) else None
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise typer.BadParameter(f"is {one_line(text, 60)}; it must be a whole number from {low} to {high}")
        return value

    return parse


def real(low: float, high: float, *, above: bool = False) -> Callable[[str], float]:
    """A number from `low`, or from `above` it, to `high`, of what was typed."""
    start = f"above {low:g}" if above else f"at least {low:g}"
    words = start if math.isinf(high) else f"{start} and at most {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text) if _plain(text) else math.nan
        except ValueError:
            value = math.nan
        if not (low < value <= high if above else low <= value <= high):  # nor is NaN
            raise typer.BadParameter(f"is {one_line(text, 60)}; it must be a number {words}")
        return value

    return parse


def _plain(text: str) -> bool:
    """Python reads 1_0 and other scripts' digits as numbers too, which nobody means here."""
    written = str(text)  # a default is a number already
    return written.isascii() and "_" not in written


def _address(value: str) -> str:
    target = value.strip()  # a variable's may end with its line
    try:
        address(target)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return target


def _header(value: str | None) -> str | None:
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


def _question(value: str) -> str:
    if not unicode(value).strip():
        raise typer.BadParameter("is empty; it decides which visual tokens are kept")
    return value


def _system(value: str | None) -> str | None:
    if value is not None and not unicode(value).strip():
        raise typer.BadParameter("is empty; leave it out for none")
    return value


def _stops(values: list[str] | None) -> list[str]:
    for value in values or ():
        if not 1 <= len(unicode(value)) <= MAX_STOP_CHARS:
            raise typer.BadParameter(f"has {len(value)} characters; it must have 1 to {MAX_STOP_CHARS}")
    if len(values or ()) > MAX_STOPS:
        raise typer.BadParameter(f"is given {len(values or ())} times; the limit is {MAX_STOPS}")
    return values or []


def _schema(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        found = json.loads(unicode(value))
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"is no JSON ({one_line(str(error), 100)}); it must be a JSON object") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("is JSON, and no object; it must be a JSON Schema")
    return value


_PICTURE = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF file, - for stdin, or a data: URL"
ImagePath = Annotated[
    str, typer.Argument(metavar=IMAGE, help=f"{_PICTURE}.", autocompletion=complete_picture, show_default=False)
]
ImagePaths = Annotated[
    list[str],
    typer.Argument(
        metavar=IMAGE,
        help=f"{_PICTURE}; several, in order, where the service takes so many.",
        autocompletion=complete_picture,
        show_default=False,
    ),
]
Question = Annotated[
    str, typer.Argument(metavar=QUESTION, callback=_question, help="In quotation marks.", show_default=False)
]
# Looked at before the images are: where one word is all there is, it is told what that lacks.
LastQuestion = Annotated[
    str,
    typer.Argument(metavar=QUESTION, callback=_question, is_eager=True, help="Last, in quotation marks."),
]
Target = Annotated[
    str,
    typer.Option(envvar="HEROSERVE_TARGET", metavar="HOST:PORT", callback=_address, help="The LLM service's gRPC."),
]
EncoderTarget = Annotated[
    str,
    typer.Option(
        envvar="HEROSERVE_ENCODER_TARGET", metavar="HOST:PORT", callback=_address, help="The vision encoder's gRPC."
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="HEROSERVE_API_KEY", metavar="KEY", callback=_header, help="Where the service wants one."),
]
Tls = Annotated[bool, typer.Option("--tls", help="Encrypt, trusting the system's root certificates.")]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        parser=real(0, math.inf, above=True),
        help="For the whole call, retries included; IMAGE is read before.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and errors as JSON to stderr.")]
Retention = Annotated[
    float | None,
    typer.Option(metavar="SHARE", parser=real(0, 1, above=True), help="Share of visual tokens to keep, at most 1."),
]
MaxVisualTokens = Annotated[
    int | None,
    typer.Option(metavar="N", parser=whole(1, _UINT32), help="Visual tokens to keep, in place of --retention."),
]
MaxTokens = Annotated[int | None, typer.Option(metavar="N", parser=whole(1, _UINT32), help="Tokens to generate.")]
Temperature = Annotated[float | None, typer.Option(metavar="T", parser=real(0, 2), help="0 is greedy; at most 2.")]
TopP = Annotated[float | None, typer.Option(metavar="P", parser=real(0, 1, above=True), help="Nucleus, at most 1.")]
Seed = Annotated[int | None, typer.Option(metavar="N", parser=whole(0, _UINT64), help="Makes a draw repeatable.")]
ShareBudget = Annotated[
    bool,
    typer.Option(
        "--share-budget", help="The budget is of all images together, shared by size and by relevance to the question."
    ),
]
Replan = Annotated[
    bool,
    typer.Option("--replan", help="Choose all images' visual tokens by the last question, not by each one's own."),
]
System = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", callback=_system, help="Instructions to the model, before the question."),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        callback=_stops,
        help=f"Ends the answer where it is written, and is no part of it; up to {MAX_STOPS} times.",
    ),
]
JsonSchema = Annotated[
    str | None,
    typer.Option(
        metavar="JSON", callback=_schema, help="A JSON Schema that the answer is to fit, where the engine can do that."
    ),
]
Streamed = Annotated[
    bool, typer.Option("--stream/--no-stream", help="Print the answer as it is written, or once it is whole.")
]


def one_budget(retention: float | None, max_visual_tokens: int | None) -> None:
    """Raises typer.BadParameter where there are two."""
    if retention is not None and max_visual_tokens is not None:
        raise typer.BadParameter("--retention and --max-visual-tokens are two ways to say the same; give one")
