"""--explain: what was kept of IMAGE, as a picture in a file."""

from __future__ import annotations

import importlib.util
import os
from typing import Annotated

import typer

from heroserve.cli.output import note, write_error
from heroserve.cli.told import FAILED, Told, one_line
from heroserve.errors import HeroserveError
from heroserve.explanation import Explanation
from heroserve.v1.tokens_pb2 import Image

OPTION = "--explain"
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def _file(value: str | None) -> str | None:
    """Checked before anything is asked, for an answer may have its price."""
    if value is None:
        return None
    name = one_line(value, 100)
    if not value.lower().endswith(_ENDINGS):
        raise typer.BadParameter(f"is {name}; it must be a picture to write, ending in {', '.join(_ENDINGS)}")
    if importlib.util.find_spec("PIL") is None:
        raise typer.BadParameter("needs Pillow, which is not installed here: pip install 'heroserve[images]'")
    folder = os.path.dirname(value) or "."
    if os.path.isdir(value) or not os.path.isdir(folder):
        problem = "is a folder" if os.path.isdir(value) else "is in a folder that is not there"
        raise typer.BadParameter(f"{name} {problem}; name a file to write")
    if not os.access(value if os.path.exists(value) else folder, os.W_OK):
        raise typer.BadParameter(f"{name} can't be written by who runs this; name another file")
    return value


ExplainFile = Annotated[
    str | None,
    typer.Option(
        OPTION,
        metavar="FILE",
        callback=_file,
        help="Draw which patches were kept, and why, into this PNG, JPEG or WebP (needs Pillow).",
    ),
]


def apart(file: str | None, image: str) -> None:
    """Raises typer.BadParameter where the picture would be written over IMAGE."""
    try:
        same = file is not None and os.path.samefile(file, image)
    except (OSError, ValueError):  # one is not there, or no file
        same = False
    if same:
        raise typer.BadParameter(f"{OPTION} is IMAGE itself, which would be written over; name another file")


def write(file: str, explanations: tuple[Explanation, ...], image: Image, answer: str, as_json: bool) -> None:
    """Draw and save it. Raises Told."""
    if not explanations:
        raise Told(
            f"{OPTION}: the service tells nothing of what it kept; it is older than this command",
            status=FAILED,
            code="UNIMPLEMENTED",
            option=OPTION,
            hint="upgrade it, or leave that out",
        )
    try:
        page = explanations[0].draw(image, answer=answer)
    except HeroserveError as error:
        raise Told(f"{OPTION}: {error.details.partition(': ')[2]}", status=FAILED, option=OPTION) from error
    try:
        page.save(file)
    except OSError as error:
        raise write_error(OSError(error.errno, error.strerror or str(error), file)) from error
    if not as_json:
        note(f"drawn in {one_line(file, 200)}")
