"""One question about every picture of a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from heroserve.batch.question import Piece, Question, Turn
from heroserve.sources import ENDINGS


def picture_names(folder: str) -> list[str]:
    """Of a folder and those within it, by name, relative to it; hidden ones, and links to folders, are left out.

    Raises OSError for a folder that can't be read.
    """
    found = []

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            os.path.relpath(os.path.join(place, name), folder)
            for name in names
            if name.lower().endswith(ENDINGS) and not name.startswith(".")
        ]
    return sorted(found)


def picture_questions(folder: str, names: list[str], question: str) -> Iterator[Question]:
    """In order; a picture's number is its question's line."""
    for number, name in enumerate(names, start=1):
        key = hashlib.sha256(os.fsencode(name) + b"\0" + question.encode()).hexdigest()[:16]
        pieces = (Piece("image", os.path.join(folder, name), picture=True), Piece("question", question))
        yield Question(
            line=number,
            key=key,
            turns=(Turn("USER", pieces, "question"),),
            told={"image": name, "question": question},
        )
