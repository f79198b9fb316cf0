"""A picture where nobody names one, written without a library."""

from __future__ import annotations

import random
import struct
import zlib
from functools import cache

SIDE = 672
_BLOCKS = 12
_LARGEST = 160
# Bytes of the last chunk, which holds nothing.
_END = 12


@cache
def draw() -> bytes:
    """A PNG of SIDE x SIDE pixels, RGB: coloured blocks before a grey that gets lighter; always the same."""
    source = random.Random(0)  # noqa: S311 - draws, guards nothing
    rows = [bytearray([64 + row * 128 // SIDE] * (3 * SIDE)) for row in range(SIDE)]
    for _ in range(_BLOCKS):
        width, height = source.randint(20, _LARGEST), source.randint(20, _LARGEST)
        left, top = source.randrange(SIDE - width), source.randrange(SIDE - height)
        colour = bytes(source.randrange(256) for _ in range(3)) * width
        for row in rows[top : top + height]:
            row[3 * left : 3 * (left + width)] = colour
    # Before each row stands how it was filtered: not at all.
    pixels = b"".join(b"\0" + bytes(row) for row in rows)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def draw_anew(number: int) -> bytes:
    """The same pixels in another file for each number: services know a picture by its file's digest."""
    comment = _chunk(b"tEXt", b"Comment\0" + str(number).encode())
    return draw()[:-_END] + comment + draw()[-_END:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
