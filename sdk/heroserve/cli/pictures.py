"""IMAGE: what a shell can name, read before anything is sent."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from heroserve.cli.fields import IMAGE
from heroserve.cli.told import Asked, Told, one_line, told
from heroserve.errors import ImageError
from heroserve.images import load_image
from heroserve.sources import ENDINGS, read_file
from heroserve.v1.tokens_pb2 import Image

STDIN = "-"


def read_picture(image: str) -> Image:
    """The message for IMAGE: a file, a pipe that has a name, "-" for stdin, or a data: URL. Raises Told."""
    try:
        if image == STDIN:
            return Image(data=read_file(_stdin(), "stdin"))
        # As the shell's <(command) is; the SDK refuses what could wait for ever.
        if _kind(image) == stat.S_IFIFO:
            with open(image, "rb") as pipe:
                return Image(data=read_file(pipe, name_of(image)))
        if _kind(image) not in (stat.S_IFREG, stat.S_IFDIR, 0):
            raise Told(f"{IMAGE}: {name_of(image)} is a device or a socket; name a file or a pipe", option=IMAGE)
        return load_image(image)
    except ImageError as error:
        raise told(error, Asked()) from error
    except OSError as error:
        raise Told(f"{IMAGE}: cannot read {name_of(image)}: {error.strerror}", option=IMAGE) from error


def read_pictures(images: Sequence[str], *, unquoted: bool = False) -> list[Image]:
    """The messages for several of them, in order. Raises Told; `unquoted`: words may be taken for names."""
    if images.count(STDIN) > 1:
        raise Told(f"{IMAGE}: is - {images.count(STDIN)} times, and stdin is one picture", option=IMAGE)
    pictures = []
    for image in images:
        try:
            pictures.append(read_picture(image))
        except Told as told:
            if len(images) > 1 and unquoted and not os.path.exists(image):
                told.hint = f"a QUESTION of several words stands in quotation marks; {told.hint}"
            raise
    return pictures


def names_of(images: Sequence[str], message: str) -> dict[str, str]:
    """What the wire calls each of them in a message that begins with them, and what people do."""
    return {f"{message}.parts[{index}].image": name_of(image) for index, image in enumerate(images)}


def name_of(image: str) -> str:
    """What to call it in a line."""
    if image == STDIN:
        return "stdin"
    return "the data: URL" if image[:5].lower() == "data:" else one_line(image, 100)


def is_picture(word: str) -> bool:
    """Whether it is meant for one, to judge by its name."""
    return word == STDIN or word[:5].lower() == "data:" or word.lower().endswith(ENDINGS) or _kind(word) != 0


def complete_picture(incomplete: str) -> list[str]:
    """Names that go on like this: pictures, and folders to look into."""
    folder, start = os.path.split(incomplete)
    try:
        found = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    return [
        os.path.join(folder, path.name) + ("/" if path.is_dir() else "")
        for path in found
        if path.name.startswith(start) and (path.is_dir() or path.suffix.lower() in ENDINGS)
    ]


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise Told(f"{IMAGE}: is -, but stdin is closed", option=IMAGE)
    if sys.stdin.isatty():
        raise Told(
            f"{IMAGE}: is -, but stdin is a terminal",
            option=IMAGE,
            hint="pipe a picture in: heroserve ask - QUESTION < picture.png",
        )
    return sys.stdin.buffer


def _kind(image: str) -> int:
    """What of stat's kinds it is; 0 for what is none, of which the SDK tells what is wrong."""
    try:
        return stat.S_IFMT(os.stat(image).st_mode)
    except (OSError, ValueError):
        return 0
