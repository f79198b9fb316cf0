"""From a decoder's pixels to 8 bits of RGB, on white, as a viewer shows them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from services.encoder.images.bare import Bare
from services.encoder.images.colour import to_srgb
from services.encoder.images.tiff import Kind
from services.encoder.images.transparency import hidden

_WHITE = (255, 255, 255)
_PIXELS = 1 << 20


def to_rgb(image: Image.Image, file: Bare, kind: Kind) -> Image.Image:
    """What a loaded image shows.

    Args:
        image: as the decoder left it, the profile that it is to be read by in ``info["icc_profile"]``.
        file: that it is of, for a colour that stands for transparency.
        kind: of its pixels.
    """
    unseen = hidden(image, file)
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = _high_byte(image, kind)
    if image.mode == "La":
        image = image.convert("LA")
    see_through = "A" in image.getbands() or image.info.get("transparency") is not None
    layer = image.convert("RGBA") if see_through and image.mode != "RGBA" else image
    shown = to_srgb(_without_alpha(image, layer), profile) if profile else layer
    shown = _on_white(shown, layer.getchannel("A")) if see_through else shown.convert("RGB")
    if unseen is not None:
        shown.paste(_WHITE, mask=Image.fromarray(unseen))
    return shown


def _on_white(shown: Image.Image, alpha: Image.Image) -> Image.Image:
    """A few rows at a time: whole, it would take its size five times over."""
    width, height = shown.size
    whole = Image.new("RGB", shown.size)
    rows = max(1, _PIXELS // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        part = shown.crop(box).convert("RGB")
        part.putalpha(alpha.crop(box))
        background = Image.new("RGBA", part.size, (*_WHITE, 255))
        whole.paste(Image.alpha_composite(background, part).convert("RGB"), box)
    return whole


def _high_byte(image: Image.Image, kind: Kind) -> Image.Image:
    # Pillow would clip at 255; a viewer shows the highest eight bits.
    values = (np.asarray(image) >> (kind.bits - 8)).clip(0, 255).astype(np.uint8)
    # Neither does Pillow turn round what is white at zero, above 8 bits.
    return Image.fromarray(255 - values if kind.white_is_zero else values)


def _without_alpha(image: Image.Image, layer: Image.Image) -> Image.Image:
    """In the space that a profile is about: a palette's is that of its colours."""
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    return image if image.mode == "CMYK" else layer.convert("RGB")
