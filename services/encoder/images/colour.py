"""Colours as a viewer shows them: by the profile in the file, as littlecms reads it, in sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

# Levels of 255. Profiles of sRGB itself differ from each other by rounding, and who wrote one meant these very bytes.
_SAME = 2
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """``image``, of mode L, RGB or CMYK, in sRGB; as it is where the profile is broken, or of another colour space."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space)
        if mode == "RGB" and image.mode == "L":
            image = image.convert("RGB")
        if mode != image.mode:
            return image
        if mode == "CMYK":
            return _transformed(image, source, mode)
        probe = _probe(mode)
        moved = np.asarray(_transformed(probe, source, mode))
        if np.abs(moved.astype(np.int16) - np.asarray(probe.convert("RGB")).astype(np.int16)).max() <= _SAME:
            return image
        if mode == "L":
            # By a table: littlecms's own is too coarse for dark greys.
            return Image.merge("RGB", [image.point(moved[0, :, channel].tolist()) for channel in range(3)])
        return _transformed(image, source, mode)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image


def _transformed(image: Image.Image, source: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    shown = ImageCms.applyTransform(image, ImageCms.buildTransform(source, _srgb(), mode, "RGB", flags=exact))
    if shown is None:
        raise ValueError("not transformed")
    return shown


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache
def _probe(mode: str) -> Image.Image:
    """All greys, and for RGB colours all over the cube."""
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    if mode == "L":
        return Image.fromarray(greys[None, :, 0].copy())
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([greys, cube])[None])
