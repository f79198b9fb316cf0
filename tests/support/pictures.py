"""Pictures for tests: deterministic, structured (not noise alone), in any size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB picture with a gradient, texture and shapes, so that tiles and patches differ."""
    random = np.random.default_rng((seed, width, height))
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256], axis=-1)
    noise = random.integers(-40, 40, base.shape)
    image = Image.fromarray((base + noise).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        left, top = random.integers(0, width), random.integers(0, height)
        size = int(random.integers(2, max(3, min(width, height) // 3)))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        draw.ellipse([left, top, left + size, top + size], fill=colour)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
