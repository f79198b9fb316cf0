"""WebP's canvas, told before a decoder is given the file: Pillow's makes room for two of them when it opens it."""

from __future__ import annotations

from services.encoder.images.bare import Bare


def bare(data: bytes) -> Bare:
    return Bare(data, canvas=_canvas(data))


def _canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height; None where the decoder will tell what is wrong."""
    if len(data) < 30:
        return None
    kind, head = data[12:16], data[20:30]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    return None
