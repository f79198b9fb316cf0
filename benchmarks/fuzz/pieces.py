"""Pieces of protobuf's wire format, right and wrong, that no library would write."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from heroserve.v1.tokens_pb2 import Image


def foreign(random: np.random.Generator) -> bytes:
    """A piece of wire format, right or wrong."""
    makers: tuple[Callable[[], bytes], ...] = (
        # Unknown fields, the last of the greatest number there is.
        lambda: tagged(99, 2) + length(b"\xff" * 2000),
        lambda: tagged(2**29 - 1, 0) + b"\x01",
        # Groups in groups, closed or not; messages in messages.
        lambda: tagged(50, 3) * (depth := int(random.choice([5, 99, 101, 20_000]))) + tagged(50, 4) * depth,
        lambda: tagged(50, 3) * 1000,
        lambda: nested(int(random.choice([50, 150, 3000]))),
        # Known numbers in wrong types, texts that are no UTF-8, numbers that never end.
        lambda: tagged(int(random.integers(1, 6)), int(random.integers(0, 6))) + random.bytes(8),
        lambda: tagged(2, 2) + length(b"\xff\xfe\xc0\x80"),
        lambda: tagged(1, 2) + length(tagged(2, 2) + length(tagged(1, 2) + length(b"\xed\xa0\x80"))),
        lambda: tagged(4, 0) + b"\xff" * 11,
        # Lengths that lie.
        lambda: tagged(1, 2) + b"\xff\xff\xff\xff\x0f",
        lambda: tagged(1, 2) + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        # One of two, both: a picture by value and by digest, a budget of both kinds.
        lambda: tagged(1, 2) + length(Image(data=b"x").SerializeToString() + Image(digest="y").SerializeToString()),
        lambda: tagged(2, 2) + length(tagged(1, 1) + struct.pack("<d", 0.5) + tagged(2, 0) + b"\x05"),
        lambda: random.bytes(int(random.integers(1, 200))),
    )
    return makers[random.integers(len(makers))]()


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def tagged(field: int, kind: int) -> bytes:
    return varint(field << 3 | kind)


def length(data: bytes) -> bytes:
    return varint(len(data)) + data


def nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = tagged(1, 2) + length(data)
    return data
