"""stdout and stderr, whatever they lead to."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Literal

import typer
from rich.console import Console
from typer import rich_utils

from heroserve.cli.told import FAILED, Told

_STDERR = 2
# Every control character but tab and newline.
_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def open_streams() -> None:
    """Before anything is written. Raises Told where there is no stdout."""
    if sys.stderr is None:
        # Nobody wants to hear; but what is opened next must not get its number.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        raise Told("stdout is closed: there is nowhere to write to", status=FAILED, code="UNKNOWN")
    _part_from_libraries()
    if os.environ.get("NO_COLOR"):  # of which Typer's help keeps bold letters
        rich_utils.COLOR_SYSTEM = None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Of a terminal that can't show a character it is a question mark, not an end.
            stream.reconfigure(errors="replace")


def _part_from_libraries() -> None:
    """gRPC's core writes to file 2 too, beside the one line for people; where somebody asks for that, it stays."""
    if {"GRPC_VERBOSITY", "GRPC_TRACE"} & os.environ.keys():
        return
    try:
        if sys.stderr.fileno() != _STDERR:
            return
    except (OSError, ValueError):  # a test's, that is no file
        return
    ours = os.dup(_STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDERR)
    os.close(nowhere)
    sys.stderr = open(ours, "w", buffering=1, encoding=sys.stderr.encoding)  # noqa: SIM115


def console(*, stderr: bool = False, soft_wrap: bool = True) -> Console:
    """Made for each use, so that it follows redirections; model names and messages are not markup. Colour is for
    terminals, and NO_COLOR takes it away, with bold and dim letters too."""
    system: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(stderr=stderr, markup=False, highlight=False, soft_wrap=soft_wrap, color_system=system)


def complain(told: Told, as_json: bool) -> None:
    """On stderr, as the last that is written."""
    _say(told.json if as_json else told.line, as_json, "red")


def warn(text: str, as_json: bool) -> None:
    """On stderr, and the command goes on."""
    _say(json.dumps({"warning": text}) if as_json else f"warning: {text}", as_json, "bold yellow")


def note(text: str) -> None:
    """On stderr, about an answer; nothing with --json, which has it all."""
    _say(text, False, "dim")


def harmless(text: str) -> str:
    """What a model writes must not steer a terminal; a file or a pipe gets it as it is."""
    return text.translate(_CONTROLS) if sys.stdout.isatty() else text


def write_error(error: OSError, file: str = "") -> Told:
    """What the system says when stdout, or a file, takes nothing more; the error names the file unless `file` does."""
    name = file or error.filename or "stdout"
    return Told(f"cannot write to {name}: {error.strerror or error}", status=FAILED, code="UNKNOWN")


def _say(text: str, bare: bool, style: str) -> None:
    try:
        if bare:
            typer.echo(text, err=True)
        else:
            console(stderr=True).print(text, style=style)
    except OSError:
        # A stderr that takes nothing more changes no status, not by what it still holds either.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
