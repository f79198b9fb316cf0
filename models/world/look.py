"""How a picture of the world is made to look otherwise, for training: it should not hang on one font and one ground."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Of the faces that matplotlib brings. The second world of the benchmarks prints with others.
FACES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif")


@dataclass(frozen=True)
class Look:
    """What differs from the plain picture.

    Args:
        face: one of ``FACES``, or None for the font that Pillow brings.
        rough: the ground's contrast, 1 as it is.
        turn: degrees that every object or line is turned further.
        jpeg: quality that the picture is saved at, or None.
    """

    face: str | None = None
    rough: float = 1.0
    turn: int = 0
    jpeg: int | None = None


PLAIN = Look()


def sample_look(rng: np.random.Generator) -> Look:
    """Half of all pictures stay plain."""
    if rng.random() < 0.5:
        return PLAIN
    face = FACES[rng.integers(len(FACES))] if rng.random() < 0.7 else None
    jpeg = int(rng.integers(25, 91)) if rng.random() < 0.5 else None
    return Look(face, float(rng.uniform(0.4, 2.2)), int(rng.integers(-5, 6)), jpeg)


@lru_cache(maxsize=256)
def font(size: int, face: str | None) -> Font:
    if face is None:
        return ImageFont.load_default(size)
    # Training's alone: who only draws plain pictures needs no matplotlib.
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / f"{face}.ttf", size)


def save_as_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """uint8 [h, w, 3], as they come back."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
