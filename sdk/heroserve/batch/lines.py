"""The lines of a JSON Lines file, whatever wrote it, each of bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from heroserve.errors import ArgumentError
from heroserve.limits import MAX_MESSAGE_BYTES

# A picture of the largest request there is, as base64, and its question.
LONGEST = MAX_MESSAGE_BYTES * 4 // 3 + (1 << 20)
_BOM = b"\xef\xbb\xbf"
# What a file that is none begins with.
_OTHERS = {
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
    b"\x1f\x8b": "is gzip; unpack it first: gunzip -k FILE",
    b"PK\x03\x04": "is a ZIP file; unpack it first",
    b"\x89PNG": "is a picture; `heroserve ask` asks about one",
    b"\xff\xd8\xff": "is a picture; `heroserve ask` asks about one",
    b"RIFF": "is a picture; `heroserve ask` asks about one",
    b"GIF8": "is a picture; `heroserve ask` asks about one",
    b"%PDF": "is PDF; questions are one JSON object a line",
    b"PAR1": "is Parquet; write its rows as JSON Lines first",
}


@dataclass(frozen=True)
class Line:
    """One that is not blank.

    Args:
        number: from 1; blank ones count.
        data: without its end; empty where it is too long.
        size: in bytes.
    """

    number: int
    data: bytes
    size: int

    @property
    def too_long(self) -> bool:
        return self.size > len(self.data)


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Raises ArgumentError for a file that holds something else, OSError for one that can't be read."""
    number, first = 0, True
    while data := file.readline(LONGEST + 1):
        number += 1
        if number == 1:
            data = data.removeprefix(_BOM)
            for beginning, problem in _OTHERS.items():
                if data.startswith(beginning):
                    raise ArgumentError(problem)
        size = len(data)
        if size > LONGEST and not data.endswith(b"\n"):
            size += _skip(file)
            data = b""
        data = data.strip()
        if data or size > LONGEST:
            if first and (data.startswith(b"[") or data == b"{"):
                raise ArgumentError("is one JSON document; questions are an object a line: jq -c '.[]' FILE")
            first = False
            yield Line(number, data, size if size > LONGEST else len(data))


def _skip(file: BinaryIO) -> int:
    """To the line's end, whatever its length."""
    skipped = 0
    while piece := file.readline(1 << 20):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped
