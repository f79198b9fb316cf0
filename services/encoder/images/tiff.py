"""TIFF's tags: which kinds of pixels are read, told before anything is decoded."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import OPEN_INFO, ImageFileDirectory_v2, TiffImageFile

from services.encoder.images.refusal import refused

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 258, 259, 262, 277, 284
_FORMAT, _TILE_WIDTH, _TILE_LENGTH = 339, 322, 323
_READ = (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT, _TILE_WIDTH, _TILE_LENGTH)
_FLOAT, _COMPLEX = 3, 6
_MAX_BITS = 16

# libtiff's own limit of the scans of a JPEG within, which costs seconds at a large picture's size: ours of such JPEGs.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", "20")

# Kinds of grey that Pillow's unpackers read and its table does not name. Of 12 bits, which are packed, the byte order
# says nothing; what is white at zero is turned round by who shows it.
for _order, _mode in ((b"II", "I;16"), (b"MM", "I;16B")):
    for _white in (0, 1):
        OPEN_INFO.setdefault((_order, _white, (1,), 1, (12,), ()), ("I;16", "I;12"))
        OPEN_INFO.setdefault((_order, _white, (1,), 1, (16,), ()), (_mode, _mode))


@dataclass(frozen=True)
class Kind:
    """Of the first page.

    Args:
        bits: a sample, of grey of more than 8.
        white_is_zero: of grey.
        apart: each channel is stored by itself, and not compressed.
        tile: pixels of a tile of the file, 0 if it has none.
        words: for an error.
    """

    bits: int = 16
    white_is_zero: bool = False
    apart: bool = False
    tile: int = 0
    words: str = ""


def kind(data: bytes) -> Kind:
    """Raises:
    InvalidArgument: pixels of a kind that is not read.
    """
    if data.startswith(b"MM\0\x2b"):
        raise refused("is a BigTIFF whose byte order is big-endian; little-endian ones are read, and TIFF in both")
    tags = _tags(data)
    if tags is None:
        return Kind()
    bits, format_ = _largest(tags.get(_BITS, 1)), _largest(tags.get(_FORMAT, 1))
    if format_ == _FLOAT or format_ >= _COMPLEX:
        raise refused(f"has floating-point pixels; at most {_MAX_BITS}-bit integers are read")
    if bits > _MAX_BITS:
        raise refused(f"has {bits}-bit pixels; at most {_MAX_BITS}-bit integers are read")
    samples, photometric = _largest(tags.get(_SAMPLES, 1)), _largest(tags.get(_PHOTOMETRIC, 0))
    return Kind(
        bits=bits,
        white_is_zero=photometric == 0,
        apart=_largest(tags.get(_PLANAR, 1)) == 2 and _largest(tags.get(_COMPRESSION, 1)) == 1,
        tile=_largest(tags.get(_TILE_WIDTH, 0)) * _largest(tags.get(_TILE_LENGTH, 0)),
        words=f"; its pixels are {samples} x {bits} bits, photometric interpretation {photometric}",
    )


def ready(image: Image.Image, kind: Kind) -> None:
    """Have libtiff read what Pillow's own reader of bytes gets wrong: 16-bit channels that lie apart."""
    if kind.apart and kind.bits == 16 and image.mode in ("RGB", "RGBA") and isinstance(image, TiffImageFile):
        size = getattr(image, "_tile_size", image.size)
        tile = image.tile[0]._replace(codec_name="libtiff", extents=(0, 0, *size), offset=0)
        image.tile = [tile._replace(args=(f"{image.mode};16N", False, image.tag_v2.offset))]
        image.use_load_libtiff = True


def _tags(data: bytes) -> ImageFileDirectory_v2 | None:
    """None of a file that is broken: the decoder says how."""
    file = io.BytesIO(data)
    try:
        head = file.read(8)
        tags = ImageFileDirectory_v2(head + file.read(8) if head[2] == 43 else head)
        file.seek(tags.next)
        tags.load(file)
        for tag in _READ:
            tags.get(tag)
    except Exception:  # noqa: BLE001 - whatever a parser raises on broken input
        return None
    return tags


def _largest(value: Any) -> int:
    values = value if isinstance(value, tuple) else (value,)
    return max((number for number in values if isinstance(number, int)), default=0)
