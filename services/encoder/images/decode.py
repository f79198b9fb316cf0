"""From the bytes a caller sent to RGB pixels, or to an error that says what is wrong with them."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from services.common.errors import InvalidArgument

# Our own limit is checked from the header, before anything is decoded; Pillow's is neither ours nor settable by users.
Image.MAX_IMAGE_PIXELS = None

FIELD = "image.data"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_ORIENTATION = 0x0112
# What undoes each value of the Exif tag.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders raise on broken input.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


@dataclass(frozen=True)
class ImageLimits:
    """Of the encoded file, and of the picture in it."""

    max_bytes: int
    max_pixels: int


def check_size(data: bytes, limits: ImageLimits) -> None:
    """Raises:
    InvalidArgument: nothing, or too many bytes.
    """
    if not data:
        raise InvalidArgument(FIELD, "is empty; send the encoded file or a digest")
    if len(data) > limits.max_bytes:
        raise InvalidArgument(FIELD, f"is {len(data)} bytes; the limit is {limits.max_bytes} bytes")


def decode(data: bytes, limits: ImageLimits) -> Image.Image:
    """Decode an image file as a viewer shows it: upright, transparency on white, 8 bits a channel, RGB.

    Of a file with several frames the first counts.

    Raises:
        InvalidArgument: not an image, truncated, empty, or more pixels than allowed.
    """
    check_size(data, limits)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except _BROKEN as error:
        raise InvalidArgument(FIELD, f"is not an image in one of {', '.join(FORMATS)}") from error
    width, height = image.size
    if width < 1 or height < 1:
        raise InvalidArgument(FIELD, f"is {width}x{height} pixels; at least 1x1 is needed")
    if width * height > limits.max_pixels:
        raise InvalidArgument(
            FIELD, f"has {width}x{height} = {width * height} pixels; the limit is {limits.max_pixels}"
        )
    try:
        image.load()
        return _to_rgb(_upright(image))
    except _BROKEN as error:
        raise InvalidArgument(FIELD, f"is damaged or truncated ({error})") from error


def _upright(image: Image.Image) -> Image.Image:
    # Not by ImageOps.exif_transpose, which writes the rest of the metadata anew and stumbles over what is odd in it.
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except _BROKEN:
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16 bits at 255; a viewer shows the high byte.
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise InvalidArgument(FIELD, "has floating-point pixels; at most 16-bit integers are read")
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        layer = image.convert("RGBA")
        background = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, layer).convert("RGB")
    return image.convert("RGB")
