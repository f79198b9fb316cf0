"""Draw a page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .look import PLAIN, Look, font, save_as_jpeg
from .page import Line, Page

# Letters are drawn this many times too large and scaled down, for smooth edges.
_SCALE = 3
_REACH = 12


def print_page(page: Page, look: Look = PLAIN) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]. The same page is the same picture, byte for byte."""
    rng = np.random.default_rng(page.ground)
    paper = _paper(rng, page.width, page.height, look.rough)
    ink = (rng.uniform(15, 80) + rng.uniform(-12, 12, 3)).astype(np.float32)
    for line in page.lines:
        strip, left, top = _strip(line, look)
        height, width = strip.shape
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + height, page.height), min(left + width, page.width)
        alpha = strip[y0 - top : y1 - top, x0 - left : x1 - left, None]
        paper[y0:y1, x0:x1] = paper[y0:y1, x0:x1] * (1 - alpha) + ink * alpha
    pixels: NDArray[np.uint8] = paper.clip(0, 255).astype(np.uint8)
    return pixels if look.jpeg is None else save_as_jpeg(pixels, look.jpeg)


def _paper(rng: np.random.Generator, width: int, height: int, rough: float) -> NDArray[np.float32]:
    """Light, a little uneven, with a fold or two across it."""
    tint = (rng.uniform(205, 245) + rng.uniform(-8, 8, 3)).astype(np.float32)
    coarse = rng.normal(0, 5, (height // 40 + 2, width // 40 + 2)).astype(np.float32)
    shade = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).copy()
    for fold in rng.integers(0, height, int(rng.integers(0, 3))):
        shade[fold : fold + 2] -= rng.uniform(5, 20)
    grain = rng.standard_normal((height, width), dtype=np.float32) * 3
    paper: NDArray[np.float32] = ((shade + grain) * np.float32(rough))[..., None] + tint
    return paper


def _strip(line: Line, look: Look) -> tuple[NDArray[np.float32], int, int]:
    """How much ink there is, float32 [h, w] in 0..1, and where its corner lies on the page."""
    left, right = int(line.left) - 4, int(2 * line.x - line.left) + 4
    width, height = right - left, 2 * _REACH + 1
    image = Image.new("L", (width * _SCALE, height * _SCALE), 0)
    pen, face = ImageDraw.Draw(image), font(line.size * _SCALE, look.face)
    for letter, x in line.letters:
        pen.text(((x - left) * _SCALE, (_REACH + 0.5) * _SCALE), letter, font=face, fill=255, anchor="mm")
    if look.turn:
        image = image.rotate(look.turn / 2, Image.Resampling.BICUBIC)
    small = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / np.float32(255), left, line.y - _REACH
