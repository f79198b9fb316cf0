"""Files of pictures, byte by byte: what libraries that write pictures don't."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from tests.support.encoder_parts import png_chunk

Samples = np.ndarray[Any, Any]


def packed(samples: Samples, bits: int) -> list[bytes]:
    """Rows of samples of so many bits, the first in the highest bits; each row ends with a byte."""
    spread = (samples[..., None].astype(np.int64) >> np.arange(bits)[::-1]) & 1
    return [row.tobytes() for row in np.packbits(spread.reshape(len(samples), -1).astype(np.uint8), axis=1)]


def png(samples: Samples, bits: int, colour: int, *extra: bytes, after: bytes = b"") -> bytes:
    """Samples [height, width] or [height, width, channels]; chunks of ``extra`` before the pixels, ``after`` behind."""
    height, width = samples.shape[:2]
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    lines = b"".join(b"\0" + row for row in packed(samples.reshape(height, -1), bits))
    pixels = png_chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + after + png_chunk(b"IEND", b"")


def tiff(
    samples: Samples, bits: int, photometric: int, *, order: str = "<", deflate: bool = False, **tags: Any
) -> bytes:
    """One strip, or where ``planar`` is 2 one a channel.

    Args:
        samples: [height, width] or [height, width, channels].
        bits: a sample.
        photometric: 0 of grey that is white at zero, 1 of other grey, 2 of colours.
        order: of bytes.
        deflate: compressed, each strip.
        tags: ``format``, ``extra``, ``planar`` and ``tile``, as TIFF numbers them.
    """
    height, width = samples.shape[:2]
    channels = samples.reshape(height, width, -1)
    planar = tags.get("planar", 1)
    planes = np.moveaxis(channels, -1, 0) if planar == 2 else channels.reshape(1, height, -1)
    if bits in (16, 32, 64):
        strips = [plane.astype(plane.dtype.newbyteorder(order)).tobytes() for plane in planes]
    else:
        strips = [b"".join(packed(plane, bits)) for plane in planes]
    strips = [zlib.compress(strip) if deflate else strip for strip in strips]
    count = channels.shape[-1]
    starts = 8 + np.cumsum([0, *map(len, strips)])
    entries = [
        (256, 3, [width]),
        (257, 3, [height]),
        (258, 3, [bits] * count),
        (259, 3, [8 if deflate else 1]),
        (262, 3, [photometric]),
        (273, 4, starts[:-1].tolist()),
        (277, 3, [count]),
        *([(322, 4, [tags["tile"]]), (323, 4, [tags["tile"]])] if "tile" in tags else [(278, 3, [height])]),
        (279, 4, [len(strip) for strip in strips]),
        (284, 3, [planar]),
        *([(338, 3, [tags["extra"]])] if "extra" in tags else []),
        (339, 3, [tags.get("format", 1)] * count),
    ]
    ifd_at = int(starts[-1])
    spare_at = ifd_at + 2 + 12 * len(entries) + 4
    ifd, spare = struct.pack(order + "H", len(entries)), b""
    for tag, kind, values in entries:
        body = b"".join(struct.pack(order + ("H" if kind == 3 else "I"), value) for value in values)
        if len(body) > 4:
            spare, body = spare + body, struct.pack(order + "I", spare_at + len(spare))
        ifd += struct.pack(order + "HHI", tag, kind, len(values)) + body.ljust(4, b"\0")
    name = b"II" if order == "<" else b"MM"
    return name + struct.pack(order + "HI", 42, ifd_at) + b"".join(strips) + ifd + bytes(4) + spare


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    """An ICC profile of version 2.1."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(0.9642, 1, 0.8249),
        **tags,
    }
    table, data, at = b"", b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    whole = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4xI", 128 + len(whole), 0x02100000) + kind + space + connection
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + whole


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))


def rgb_profile(red: Any, green: Any, blue: Any, gamma: float) -> bytes:
    """Of primaries (XYZ, seen in D50) and a gamma."""
    primaries = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    xyz = {name: b"XYZ " + bytes(4) + _fixed(*values) for name, values in primaries.items()}
    return profile(b"RGB ", {**xyz, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))})


def grey_profile(gamma: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": curve(gamma)})


def cmyk_profile() -> bytes:
    """A press whose inks mix: Lab at the corners of the cube of inks, 8 bits a value."""
    corners = np.array(np.meshgrid(*[[0, 1]] * 4, indexing="ij")).reshape(4, -1).T
    inks = np.array([[-40, -30, -45], [-45, 70, -5], [-5, -5, 85], [-75, 0, 0]])
    lab = np.array([95, 0, 0]) + corners @ inks
    values = np.stack([lab[:, 0].clip(5, 100) * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], axis=1).clip(0, 255)
    straight = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += straight * 4 + values.round().astype(np.uint8).tobytes() + straight * 3
    return profile(b"CMYK", {b"A2B0": table}, b"Lab ", b"prtr")


def progressive_jpeg(width: int, height: int, more_scans: int) -> bytes:
    """A black picture of one scan, and scans of 75 bytes that go over all of its pixels and change none."""
    blocks = -(-width // 8) * -(-height // 8)
    head = (
        b"\xff\xd8"
        + _segment(0xDB, b"\0" + b"\1" * 64)
        + _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
        + _segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0")
        + _segment(0xC4, b"\x10" + bytes([1, 1] + [0] * 14) + b"\xe0\0")
    )
    first = _segment(0xDA, b"\1\1\0\0\0\0") + _bits([(0, 1)] * blocks)
    runs, left = [], blocks
    while left:
        run = min(left, 32767)
        # An end of band that counts blocks: 14 bits of it follow, and so many are a run at least.
        runs += [(0, 1), (run - (1 << 14), 14)]
        left -= run
    return head + first + (_segment(0xDA, b"\1\1\0\1\x3f\x10") + _bits(runs)) * more_scans + b"\xff\xd9"


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _bits(codes: list[tuple[int, int]]) -> bytes:
    """Values of so many bits, one after the other, as entropy-coded data has them."""
    out, held, count = bytearray(), 0, 0
    for value, length in [*codes, (0x7F, 7)]:
        held, count = (held << length) | value, count + length
        while count >= 8:
            count -= 8
            byte = (held >> count) & 255
            held &= (1 << count) - 1
            out.append(byte)
            if byte == 255:
                out.append(0)
    return bytes(out)


def plain_webp(width: int, height: int) -> bytes:
    """34 bytes of a picture that is one half-transparent colour."""
    fields = [(0x2F, 8), (width - 1, 14), (height - 1, 14), (1, 1), (0, 3), (0, 3)]
    # No transform, cache or other codes; then five codes of one symbol of 8 bits each, or of one bit.
    for symbol in (40, 80, 120, 128):
        fields += [(1, 1), (0, 1), (1, 1), (symbol, 8)]
    fields += [(1, 1), (0, 1), (0, 1), (0, 1)]
    value, at = 0, 0
    for number, length in fields:
        value |= number << at
        at += length
    body = value.to_bytes(-(-at // 8), "little")
    body += bytes(len(body) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
