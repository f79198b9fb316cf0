"""From the bytes a caller sent to RGB pixels, or to an error that says what is wrong with them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from services.common.errors import InvalidArgument
from services.encoder.images import jpeg, png, tiff, webp
from services.encoder.images.bare import MAX_PROFILE_BYTES, Bare
from services.encoder.images.formats import FORMATS, READ, format_of
from services.encoder.images.refusal import FIELD, reason, refused
from services.encoder.images.rgb import to_rgb

__all__ = ["DECODING", "FIELD", "FORMATS", "ImageLimits", "check_size", "decode"]

# Our own limit is checked from the header, before anything is decoded; Pillow's is neither ours nor settable by users.
Image.MAX_IMAGE_PIXELS = None

# Part of the encoder's identity: raise it when a file is decoded to other pixels.
DECODING = 2
_BARE: dict[str, Callable[[bytes], Bare]] = {"JPEG": jpeg.bare, "PNG": png.bare, "WEBP": webp.bare}
_DAMAGED = "is damaged or truncated ({})"
# A scan costs as much as all pixels do, and 75 bytes can hold one. Pictures have a dozen: so many whatever their size,
# and of smaller ones as many as browsers take, while they cost no more than the largest picture's.
_SCANS, _MAX_SCANS = 20, 100
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
        raise refused("is empty; send the encoded file or a digest")
    if len(data) > limits.max_bytes:
        raise refused(f"is {len(data)} bytes; the limit is {limits.max_bytes} bytes")


def decode(data: bytes, limits: ImageLimits) -> Image.Image:
    """Decode an image file as a viewer shows it: upright, transparency on white, in sRGB, 8 bits a channel, RGB.

    Of a file with several frames the first counts. What metadata is broken, or too large, is passed over.

    Raises:
        InvalidArgument: not an image, truncated, empty, of a kind that is not read, or more pixels than allowed;
            whatever a decoder raises is the file's fault, and the cause of this.
    """
    check_size(data, limits)
    name = format_of(data)
    try:
        return _decode(data, name, limits)
    except InvalidArgument:
        raise
    except Exception as error:
        raise refused(_DAMAGED.format(reason(error))) from error


def _decode(data: bytes, name: str, limits: ImageLimits) -> Image.Image:
    file = _BARE.get(name, Bare)(data)
    kind = tiff.kind(data) if name == "TIFF" else tiff.Kind()
    if file.canvas is not None:
        _check_size(file.canvas, limits)
    try:
        # Not by Image.open, which keeps to itself what a decoder says.
        image = Image.OPEN[name][0](io.BytesIO(file.data), "")
    except Exception as error:
        raise refused(
            f"is {name}, but damaged, truncated or of a kind that is not read ({reason(error)}{kind.words}); {READ}"
        ) from error
    _check_pixels(image, file, kind, limits)
    image.info.update(file.info)
    if len(image.info.get("icc_profile") or b"") > MAX_PROFILE_BYTES:
        del image.info["icc_profile"]
    tiff.ready(image, kind)
    image.load()
    return _upright(to_rgb(image, file, kind), image)


def _check_pixels(image: Image.Image, file: Bare, kind: tiff.Kind, limits: ImageLimits) -> None:
    """Before anything is decoded."""
    width, height = image.size
    pixels = _check_size(image.size, limits)
    if kind.tile > max(limits.max_pixels, 1):
        raise refused(f"has tiles of {kind.tile} pixels; the limit is {limits.max_pixels}")
    scans = min(_MAX_SCANS, max(_SCANS, _SCANS * limits.max_pixels // pixels))
    if file.scans > scans:
        raise refused(f"has {file.scans} scans of {width}x{height} pixels; the limit is {scans} at this size")


def _check_size(size: tuple[int, int], limits: ImageLimits) -> int:
    """Its pixels."""
    width, height = size
    if width < 1 or height < 1:
        raise refused(f"is {width}x{height} pixels; at least 1x1 is needed")
    pixels = width * height
    if pixels > limits.max_pixels:
        raise refused(f"has {width}x{height} = {pixels} pixels; the limit is {limits.max_pixels}")
    return pixels


def _upright(shown: Image.Image, image: Image.Image) -> Image.Image:
    # Not by ImageOps.exif_transpose, which writes the rest of the metadata anew and stumbles over what is odd in it.
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - broken metadata says nothing, in whatever way it is broken
        return shown
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return shown if turn is None else shown.transpose(turn)
