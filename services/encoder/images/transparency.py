"""A colour that stands for transparency: compared as the file has it, at 1 to 16 bits a sample."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from services.encoder.images.bare import Bare

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def hidden(image: Image.Image, file: Bare) -> Mask | None:
    """Which pixels of a loaded image have the file's transparent colour, [height, width]; None if it has no such."""
    if file.key is None:
        return None
    samples = np.asarray(image)
    key = np.array(file.key)
    if file.depth == 16 and len(key) == 3:
        # The decoder hands out the high bytes alone.
        low = np.asarray(_low_bytes(file.data))
        return _all(np.equal(samples, key >> 8) & np.equal(low, key & 255))
    if file.depth < 8:
        # They come spread over 0 to 255, of one bit as truth.
        samples = samples.astype(np.uint8) * (255 if samples.dtype == np.bool_ else 1)
        key = key * (255 // ((1 << file.depth) - 1))
    return _all(np.equal(samples, key))


def _all(same: Mask) -> Mask:
    """Of all channels, where there are several."""
    return np.asarray(same.all(axis=-1)) if same.ndim == 3 else same


def _low_bytes(data: bytes) -> Image.Image:
    """Of a PNG of 16-bit colours, by telling the decoder that they are stored the other way round."""
    image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    image.load()
    return image
