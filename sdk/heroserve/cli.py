"""The command line: answers go to stdout, everything about them to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

from heroserve import __version__
from heroserve.client import Client
from heroserve.errors import ArgumentError, HeroserveError, ImageError
from heroserve.results import Answer, Savings
from heroserve.retry import RetryPolicy
from heroserve.v1.encoder_pb2 import VisualTokens

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

# Asking what a service runs is a courtesy before an answer: it must not use up the answer's time.
_COURTESY_S = 5.0
# Who sits before a terminal would rather know that nobody is there.
_RETRY = RetryPolicy(wait_for_service=False)
# Every control character but tab and newline.
_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}

ImagePath = Annotated[str, typer.Argument(metavar="IMAGE", help="JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF file.")]
Question = Annotated[str, typer.Argument(metavar="QUESTION")]
Target = Annotated[str, typer.Option(envvar="HEROSERVE_TARGET", metavar="HOST:PORT", help="The LLM service.")]
EncoderTarget = Annotated[
    str, typer.Option(envvar="HEROSERVE_ENCODER_TARGET", metavar="HOST:PORT", help="The vision encoder.")
]
ApiKey = Annotated[str | None, typer.Option(envvar="HEROSERVE_API_KEY", metavar="KEY")]
Tls = Annotated[bool, typer.Option("--tls", help="Encrypt, trusting the system's root certificates.")]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="For the whole call, retries included.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Retention = Annotated[float | None, typer.Option(help="Share of the image's visual tokens to keep, in (0, 1].")]
MaxVisualTokens = Annotated[
    int | None, typer.Option(min=0, help="Number of visual tokens to keep, instead of --retention.")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heroserve {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Ask questions about high-resolution images; pay for the visual tokens that matter."""


@app.command()
def ask(
    image: ImagePath,
    question: Question,
    retention: Retention = None,
    max_visual_tokens: MaxVisualTokens = None,
    max_tokens: Annotated[int | None, typer.Option(min=0, help="Tokens to generate at most.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus size in (0, 1].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes a drawn answer repeatable.")] = None,
    target: Target = "localhost:9001",
    api_key: ApiKey = None,
    tls: Tls = False,
    timeout: Timeout = 120.0,
    as_json: AsJson = False,
) -> None:
    """Answer a question about an image, as it is written; then say what was saved."""
    with _reported(), Client(target, api_key=api_key, tls=tls, timeout_s=timeout, retry=_RETRY) as client:
        stream = client.stream(
            image,
            question,
            retention=retention,
            max_visual_tokens=max_visual_tokens,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        _warn_if_untrained(client, min(timeout, _COURTESY_S))
        with stream:
            try:
                for delta in stream:
                    if not as_json:
                        typer.echo(_harmless(delta), nl=False)
            finally:
                if stream.text and not as_json:
                    typer.echo()
    if as_json:
        typer.echo(json.dumps(asdict(stream.answer), ensure_ascii=False))
    else:
        _console(stderr=True).print("\n".join(_bill(stream.answer)), style="dim")


@app.command()
def describe(
    target: Target = "localhost:9001",
    api_key: ApiKey = None,
    tls: Tls = False,
    timeout: Timeout = 10.0,
    as_json: AsJson = False,
) -> None:
    """Say what the LLM service runs."""
    with _reported(), Client(target, api_key=api_key, tls=tls, timeout_s=timeout, retry=_RETRY) as client:
        description = _as_dict(client.describe())
    if as_json:
        typer.echo(json.dumps(description))
        return
    table = Table("", target)
    for name, value in _flat(description):
        table.add_row(name, str(value))
    _console().print(table)


@app.command()
def encode(
    image: ImagePath,
    question: Question,
    retention: Retention = None,
    max_visual_tokens: MaxVisualTokens = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what made each tile matter.")] = False,
    encoder_target: EncoderTarget = "localhost:9000",
    api_key: ApiKey = None,
    tls: Tls = False,
    timeout: Timeout = 120.0,
    as_json: AsJson = False,
) -> None:
    """Show which visual tokens a question keeps; JSON has the positions, but not the features."""
    with (
        _reported(),
        Client(encoder_target=encoder_target, api_key=api_key, tls=tls, timeout_s=timeout, retry=_RETRY) as client,
    ):
        tokens = client.encode(
            image, question, retention=retention, max_visual_tokens=max_visual_tokens, explain=explain
        )
    if as_json:
        tokens.features.ClearField("data")
        typer.echo(json.dumps(_as_dict(tokens)))
        return
    grid, side = tokens.grid, tokens.grid.patches_per_side
    console = _console()
    console.print(
        f"{grid.image_width} x {grid.image_height} pixels · {grid.rows} x {grid.cols} tiles "
        f"and a thumbnail of {side} x {side} patches"
    )
    console.print(_tiles(tokens, explain))
    cache = VisualTokens.Cache.Name(tokens.cache).lower()
    saved = _saved(Savings.from_message(tokens.savings))
    console.print(f"{saved} · cache {cache} · total {tokens.timings.total:.3f} s")


@contextmanager
def _reported() -> Iterator[None]:
    """One line on stderr instead of a traceback: status 1 for a failed call, 2 for impossible arguments."""
    try:
        yield
    except HeroserveError as error:
        if isinstance(error, ArgumentError) and not isinstance(error, ImageError):
            raise typer.BadParameter(str(error)) from error
        request = f" (request {error.request_id})" if error.request_id else ""
        line = " ".join(f"{error.code.name}: {error.details}{request}".split())
        _console(stderr=True).print(line, style="red")
        raise typer.Exit(1) from error
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _warn_if_untrained(client: Client, timeout_s: float) -> None:
    try:
        description = client.describe(timeout_s=timeout_s)
    except HeroserveError:
        return  # the question itself will say what is wrong, if anything is
    trained = description.trained and (description.encoder.trained or not description.HasField("encoder"))
    if not trained:
        _console(stderr=True).print(
            "warning: the model is untrained (random weights): the answer means nothing", style="bold yellow"
        )


def _harmless(text: str) -> str:
    """What a model writes must not steer a terminal; a file or a pipe gets it as it is."""
    return text.translate(_CONTROLS) if sys.stdout.isatty() else text


def _bill(answer: Answer) -> list[str]:
    usage, timings = answer.usage, answer.timings
    return [
        f"{_saved(answer.savings)} · encode {timings.encode_s:.2f} s · "
        f"first token {timings.time_to_first_token_s:.2f} s · total {timings.total_s:.2f} s",
        f"prompt {usage.prompt_tokens} tokens ({usage.prompt_text_tokens} text, {usage.prompt_visual_tokens} "
        f"visual, {usage.prompt_newline_tokens} newline) · answer {usage.completion_tokens} tokens "
        f"({answer.finish_reason})",
    ]


def _saved(savings: Savings) -> str:
    return f"visual tokens {savings.kept} of {savings.total} kept ({savings.ratio:.1%} dropped)"


def _tiles(tokens: VisualTokens, explain: bool) -> Table:
    terms = ("saliency", "relevance", "density") if explain else ()
    table = Table("tile", *(name for name in ("importance", "kept", "valid", *terms)))
    for column in table.columns[1:]:
        column.justify = "right"
    for tile in tokens.tiles:
        row, col = divmod(tile.index - 1, tokens.grid.cols or 1)
        table.add_row(
            f"row {row} col {col}" if tile.index else "thumbnail",
            f"{tile.importance:.3f}" if tile.index else "",
            str(len(tile.positions)),
            str(tile.valid),
            *(f"{getattr(tile.explanation, term):.3f}" if tile.index else "" for term in terms),
        )
    return table


def _as_dict(message: Message) -> dict[str, object]:
    """By the proto's own names, zeros included."""
    fields: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def _flat(fields: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _console(*, stderr: bool = False) -> Console:
    """Made for each use, so that it follows redirections; model names and messages are not markup."""
    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=True)
