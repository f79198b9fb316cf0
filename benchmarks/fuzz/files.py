"""Pictures of every format, and what is made of them by changing bytes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
# What lengths, sizes and offsets overflow at.
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds(random: np.random.Generator) -> list[bytes]:
    """Small files of every format that is read, and of the kinds that each has."""
    noise = random.integers(0, 256, (48, 64, 4), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    rgba = Image.fromarray(noise)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    files = [
        _saved(rgb, "JPEG"),
        _saved(rgb, "JPEG", progressive=True, exif=exif),
        _saved(rgb.convert("CMYK"), "JPEG"),
        _saved(rgb, "PNG", exif=exif),
        _saved(rgba, "PNG"),
        _saved(rgb.convert("P"), "PNG", transparency=3),
        _saved(grey.convert("1"), "PNG"),
        _saved(rgb, "WEBP", exif=exif),
        _saved(rgba, "WEBP", lossless=True),
        _saved(rgb, "GIF"),
        _saved(rgb, "GIF", save_all=True, append_images=[grey]),
        _saved(rgb, "BMP"),
        _saved(grey, "BMP"),
        _saved(rgb, "AVIF", speed=10),
    ]
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files += [_saved(image, "TIFF", compression=compression) for image in (rgb, grey)]
    return [*files, _saved(grey.convert("1"), "TIFF", compression="group4")]


def mutated(files: list[bytes], random: np.random.Generator) -> bytes:
    """One of the files, with bytes changed, lost, doubled, or put in from another; a PNG's checksums often right."""
    data = bytearray(files[random.integers(len(files))])
    for _ in range(random.integers(1, 8)):
        # Headers hold what parsers trip over.
        end = min(len(data), 200) if random.random() < 0.6 else len(data)
        at = int(random.integers(max(end, 1)))
        match random.integers(6):
            case 0 | 1:
                data[at : at + 1] = bytes([random.integers(256)])
            case 2:
                size, order = random.choice([2, 4]), random.choice(["little", "big"])
                value = _EXTREMES[random.integers(len(_EXTREMES))] & ((1 << 8 * int(size)) - 1)
                data[at : at + size] = value.to_bytes(int(size), str(order))  # type: ignore[arg-type]
            case 3:
                del data[at : at + int(random.integers(1, 64))]
            case 4:
                data[at:at] = data[at : at + int(random.integers(1, 64))]
            case _:
                other = files[random.integers(len(files))]
                start = int(random.integers(len(other)))
                data[at : at + 32] = other[start : start + 32]
    if random.random() < 0.1:
        del data[int(random.integers(len(data) + 1)) :]
    return _checked(bytes(data)) if random.random() < 0.7 else bytes(data)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _checked(data: bytes) -> bytes:
    """A PNG with right checksums, so that what is wrong gets past them; anything else as it is."""
    if not data.startswith(_PNG):
        return data
    out, at = _PNG, len(_PNG)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if at + 12 + size > len(data):
            break
        body = data[at + 4 : at + 8 + size]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return out + data[at:]
