"""Options and arguments that commands share; ranges are checked here, before anything is sent."""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated

import typer

from heroserve.cli import texts
from heroserve.cli.fields import IMAGE, QUESTION
from heroserve.cli.pictures import complete_picture
from heroserve.cli.ranges import real, whole

# What -h puts options under.
KEPT, ANSWER, SERVICE = "Visual tokens", "The answer", "The service"
_UINT32 = (1 << 32) - 1
_UINT64 = (1 << 64) - 1


class RowName(str, Enum):
    """The wire's dtypes."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


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
    str, typer.Argument(metavar=QUESTION, callback=texts.question, help="In quotation marks.", show_default=False)
]
# Looked at before the images are: where one word is all there is, it is told what that lacks.
LastQuestion = Annotated[
    str,
    typer.Argument(metavar=QUESTION, callback=texts.question, is_eager=True, help="Last, in quotation marks."),
]
Target = Annotated[
    str,
    typer.Option(
        envvar="HEROSERVE_TARGET",
        metavar="HOST:PORT",
        callback=texts.address_of,
        help="The LLM service's gRPC.",
        rich_help_panel=SERVICE,
    ),
]
EncoderTarget = Annotated[
    str,
    typer.Option(
        envvar="HEROSERVE_ENCODER_TARGET",
        metavar="HOST:PORT",
        callback=texts.address_of,
        help="The vision encoder's gRPC.",
        rich_help_panel=SERVICE,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="HEROSERVE_API_KEY",
        metavar="KEY",
        callback=texts.header,
        help="Where the service wants one.",
        rich_help_panel=SERVICE,
    ),
]
Tls = Annotated[
    bool, typer.Option("--tls", help="Encrypt, trusting the system's root certificates.", rich_help_panel=SERVICE)
]
Timeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        parser=real(0, math.inf, above=True),
        help="For the whole call, retries included; IMAGE is read before.",
        rich_help_panel=SERVICE,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and errors as JSON to stderr.")]
Retention = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        parser=real(0, 1, above=True),
        help="Share of visual tokens to keep, at most 1.",
        rich_help_panel=KEPT,
    ),
]
MaxVisualTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=whole(1, _UINT32),
        help="Visual tokens to keep, in place of --retention.",
        rich_help_panel=KEPT,
    ),
]
MaxTokens = Annotated[
    int | None, typer.Option(metavar="N", parser=whole(1, _UINT32), help="Tokens to generate.", rich_help_panel=ANSWER)
]
Temperature = Annotated[
    float | None, typer.Option(metavar="T", parser=real(0, 2), help="0 is greedy; at most 2.", rich_help_panel=ANSWER)
]
TopP = Annotated[
    float | None,
    typer.Option(metavar="P", parser=real(0, 1, above=True), help="Nucleus, at most 1.", rich_help_panel=ANSWER),
]
Seed = Annotated[
    int | None,
    typer.Option(metavar="N", parser=whole(0, _UINT64), help="Makes a draw repeatable.", rich_help_panel=ANSWER),
]
Rows = Annotated[
    RowName | None,
    typer.Option(
        help="In which dtype to have the rows sent; by default as they are cached.",
        show_default=False,
        rich_help_panel=KEPT,
    ),
]
ShareBudget = Annotated[
    bool,
    typer.Option(
        "--share-budget",
        help="The budget is of all images together, shared by size and by relevance to the question.",
        rich_help_panel=KEPT,
    ),
]
Replan = Annotated[
    bool,
    typer.Option(
        "--replan",
        help="Choose all images' visual tokens by the last question, not by each one's own.",
        rich_help_panel=KEPT,
    ),
]
System = Annotated[
    str | None,
    typer.Option(
        "--system",
        metavar="TEXT",
        callback=texts.instructions,
        help="Instructions to the model, before the question.",
        rich_help_panel=ANSWER,
    ),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        callback=texts.stops,
        help=f"Ends the answer where it is written, and is no part of it; up to {texts.MAX_STOPS} times.",
        rich_help_panel=ANSWER,
    ),
]
JsonSchema = Annotated[
    str | None,
    typer.Option(
        metavar="JSON",
        callback=texts.schema,
        help="A JSON Schema that the answer is to fit, where the engine can do that.",
        rich_help_panel=ANSWER,
    ),
]
Streamed = Annotated[
    bool, typer.Option("--stream/--no-stream", help="Print the answer as it is written, or once it is whole.")
]


def one_budget(retention: float | None, max_visual_tokens: int | None) -> None:
    """Raises typer.BadParameter where there are two."""
    if retention is not None and max_visual_tokens is not None:
        raise typer.BadParameter("--retention and --max-visual-tokens are two ways to say the same; give one")
