"""--explain: what was kept of IMAGE, as a picture in a file."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from heroserve.cli.output import note, write_error
from heroserve.cli.pictures import STDIN
from heroserve.cli.told import FAILED, Told, one_line
from heroserve.cli.writable import problem_of
from heroserve.errors import HeroserveError
from heroserve.explanation import Explanation
from heroserve.results import Answer
from heroserve.v1.encoder_pb2 import VisualTokens
from heroserve.v1.tokens_pb2 import Image

OPTION = "--explain"
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def _file(context: typer.Context, value: str | None) -> str | None:
    """Checked before anything is asked, for an answer may have its price."""
    return value if value is None or context.resilient_parsing else checked(value)  # else a shell completes


def checked(value: str) -> str:
    """The file, of which a picture can be made. Raises typer.BadParameter."""
    name = one_line(value, 100) or "empty"
    # As Pillow takes a name apart: ".png" has no ending.
    ending = os.path.splitext(value)[1].lower()
    if ending not in _ENDINGS:
        raise typer.BadParameter(
            f"is {name}; it must be a picture to write, ending in {', '.join(_ENDINGS)}, with a name before that"
        )
    if importlib.util.find_spec("PIL") is None:
        raise typer.BadParameter("needs Pillow, which is not installed here: pip install 'heroserve[images]'")
    if not _is_written(ending):
        raise typer.BadParameter(f"is {name}, but Pillow writes no {ending} here; end it in .png")
    if problem := problem_of(value):
        raise typer.BadParameter(f"{name} {problem}; name another file to write")
    return value


def _is_written(ending: str) -> bool:
    """Pillow may be built without a format."""
    from PIL import Image as Pillow

    Pillow.init()
    return Pillow.EXTENSION.get(ending) in Pillow.SAVE


ExplainFile = Annotated[
    str | None,
    typer.Option(
        OPTION,
        metavar="FILE",
        callback=_file,
        help="Draw which patches were kept, and why, into this PNG, JPEG or WebP (needs Pillow); of several images "
        "into FILE-1, FILE-2, ... with its ending.",
    ),
]


def files(file: str | None, images: Sequence[str]) -> list[str]:
    """The file of each image: of one it is FILE, of several FILE with -1, -2, ... before its ending.

    Raises typer.BadParameter where one can't be written, or would be written over an image.
    """
    if file is None:
        return []
    if len(images) == 1:
        apart(file, images[0])
        return [file]
    root, ending = os.path.splitext(file)
    named = [f"{root}-{number}{ending}" for number in range(1, len(images) + 1)]
    for name in named:
        if problem := problem_of(name):
            raise typer.BadParameter(f"{OPTION}: {one_line(name, 100)} {problem}; name another file to write")
        for image in images:
            apart(name, image)
    return named


def write_all(files: Sequence[str], answer: Answer, images: Sequence[Image], as_json: bool) -> None:
    """Draw and save each image's, where there are files for that. Raises Told."""
    for index, file in enumerate(files):
        write(file, answer.explanations[index : index + 1], images[index], answer.text.strip(), as_json)


def apart(file: str | None, image: str) -> None:
    """Raises typer.BadParameter where the picture would be written over IMAGE."""
    try:
        same = file is not None and os.path.samestat(_stat(image), os.stat(file))
    except (OSError, ValueError):  # one is not there, or no file
        same = False
    if same:
        raise typer.BadParameter(f"{OPTION} is IMAGE itself, which would be written over; name another file")


def _stat(image: str) -> os.stat_result:
    if image != STDIN:
        return os.stat(image)
    if sys.stdin is None:
        raise ValueError("stdin is closed")
    return os.fstat(sys.stdin.fileno())


def write_encoded(file: str, tokens: VisualTokens, question: str, image: Image, as_json: bool) -> None:
    """The same of what an encoder gave."""
    with _told():
        explanation = Explanation.of(tokens, question)
    write(file, (explanation,), image, "", as_json)


def write(file: str, explanations: tuple[Explanation, ...], image: Image, answer: str, as_json: bool) -> None:
    """Draw and save it, after the answer was told: that had its price. Raises Told."""
    if not explanations:
        raise Told(
            f"{OPTION}: the service tells nothing of what it kept; it is older than this command",
            status=FAILED,
            code="UNIMPLEMENTED",
            option=OPTION,
            hint="upgrade it, or leave that out",
        )
    with _told():
        page = explanations[0].draw(image, answer=answer)
    try:
        page.save(file)
    except OSError as error:
        raise write_error(error, file) from error
    if not as_json:
        note(f"drawn in {one_line(file, 200)}")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except HeroserveError as error:
        problem = error.details.partition(": ")[2] or error.details
        raise Told(f"{OPTION}: {problem}", status=FAILED, option=OPTION) from error
