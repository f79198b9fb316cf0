"""An image as services see it: upright, the first frame, transparency on white, in sRGB, 8 bits of RGB."""

from __future__ import annotations

import contextlib
import io

from PIL import Image, ImageCms

from heroserve.drawing.style import told
from heroserve.errors import ImageError
from heroserve.images import ImageSource, image_digest, load_image

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


def upright(source: ImageSource, digest: str, size: tuple[int, int]) -> Image.Image:
    """The image that an explanation is of.

    Args:
        source: the image, as it was sent.
        digest: of its encoded file.
        size: width and height that the encoder found.

    Raises ImageError for another image, or what Pillow can't read.
    """
    loaded = load_image(source)
    if loaded.WhichOneof("source") == "digest":
        raise ImageError("image: is a digest, which can't be drawn; give the file that was sent")
    found = image_digest(loaded.data)
    if digest and found != digest:
        raise ImageError(
            f"image: is not the one that was explained: its SHA-256 is {found[:12]}..., the explained one's "
            f"{told(digest, 12)}...; give the file that was sent"
        )
    try:
        with Image.open(io.BytesIO(loaded.data)) as file:
            file.load()
            shown = _turned(_rgb(file), file)
    except Exception as error:
        reason = told(" ".join(str(error).split())) or type(error).__name__
        raise ImageError(f"image: Pillow can't read it here: {reason}") from error
    if shown.size != size:
        raise ImageError(
            f"image: Pillow reads {shown.width}x{shown.height} pixels here, the encoder {size[0]}x{size[1]}; "
            "send it as PNG to have both read the same"
        )
    return shown


def _rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        # Pillow would clip at 255; a viewer shows the highest eight bits of sixteen.
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if "A" in image.getbands() or image.mode in ("La", "RGBa") or image.info.get("transparency") is not None:
        layer = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return _srgb(Image.alpha_composite(white, layer).convert("RGB"), profile)
    return _srgb(image, profile) if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A profile that is broken, or of other pixels, is passed over."""
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if turned is not None:
                return turned
    return image.convert("RGB")


def _turned(shown: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - broken metadata says nothing, in whatever way it is broken
        return shown
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return shown if turn is None else shown.transpose(turn)
