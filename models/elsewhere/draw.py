"""Draw a sample: objects on a backdrop, or lines on paper, upright and too wide; then turn it, cut it, and save it."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.world.page import Page
from models.world.scene import Scene, Thing

from .backdrops import paper, photograph, surface
from .sample import Sample, upright

# Pixels around the picture that turning brings in, and how much finer it is drawn than shown.
_MARGIN, _FINE = 32, 4
# Hue in degrees, saturation and lightness in percent.
_HUES = {
    "red": (352, 80, 44),
    "green": (128, 60, 36),
    "blue": (222, 75, 48),
    "yellow": (52, 90, 55),
    "purple": (285, 55, 42),
    "orange": (28, 92, 54),
    "black": (240, 6, 10),
    "white": (60, 10, 95),
}
_ARM = [(0.4, -1.0), (0.4, -0.4), (1.0, -0.4)]
# Clockwise from the top right: every second quarter is walked the other way round.
_QUARTERS = ((1, 1, _ARM), (1, -1, _ARM[::-1]), (-1, -1, _ARM), (-1, 1, _ARM[::-1]))

_CORNERS: dict[str, Callable[[], list[tuple[float, float]]]] = {
    "square": lambda: [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": lambda: [(0.0, -1.05), (1.05, 0.85), (-1.05, 0.85)],
    "diamond": lambda: [(0.0, -1.1), (1.0, 0.0), (0.0, 1.1), (-1.0, 0.0)],
    "star": lambda: _spokes(5, 1.12, 0.62),
    "cross": lambda: [(a * x, b * y) for a, b, points in _QUARTERS for x, y in points],
}


def draw(sample: Sample) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]. The same sample is the same picture, byte for byte, with the same libraries."""
    rng = np.random.default_rng(sample.seed)
    content = sample.content
    size = (content.width + 2 * _MARGIN, content.height + 2 * _MARGIN)
    if isinstance(content, Page):
        canvas = paper(rng, *size)
        _print(canvas, content, sample, rng)
    else:
        canvas = photograph(rng, *size) if sample.photographed else surface(rng, *size)
        _paint(canvas, content, sample, rng)
    turned = canvas.rotate(sample.angle, Image.Resampling.BICUBIC)
    image = turned.crop((_MARGIN, _MARGIN, size[0] - _MARGIN, size[1] - _MARGIN))
    if sample.quality is not None:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=sample.quality)
        image = Image.open(file).convert("RGB")
    return np.asarray(image)


def _paint(canvas: Image.Image, scene: Scene, sample: Sample, rng: np.random.Generator) -> None:
    for thing in scene.things:
        x, y = upright(thing.x, thing.y, scene.width, scene.height, sample.angle)
        stamp = _object(thing, sample.face, rng)
        canvas.paste(stamp, (round(x + _MARGIN - stamp.width / 2), round(y + _MARGIN - stamp.height / 2)), stamp)


def _object(thing: Thing, face: str, rng: np.random.Generator) -> Image.Image:
    """RGBA, half as wide again as the object."""
    hue, saturation, lightness = _HUES[thing.color] + rng.uniform((-6, -8, -4), (6, 6, 4))
    fill = f"hsl({hue % 360:.1f}, {np.clip(saturation, 0, 100):.1f}%, {np.clip(lightness, 0, 100):.1f}%)"
    side = 3 * thing.radius
    image = Image.new("RGBA", (side * _FINE, side * _FINE), (0, 0, 0, 0))
    pen, middle, reach = ImageDraw.Draw(image), side * _FINE / 2, thing.radius * _FINE
    if thing.shape == "circle":
        pen.circle((middle, middle), reach, fill=fill)
    else:
        pen.polygon([(middle + reach * x, middle + reach * y) for x, y in _CORNERS[thing.shape]()], fill=fill)
    ink = "#101014" if thing.color in ("yellow", "orange", "white") else "#fafafa"
    font = _font(face, round(reach * rng.uniform(1.0, 1.2)))
    low = 0.1 * reach if thing.shape == "triangle" else 0
    _center(pen, middle, middle + low, thing.character, font, ink)
    turned = image.rotate(thing.turn, Image.Resampling.BICUBIC)
    return turned.resize((side, side), Image.Resampling.LANCZOS)


def _print(canvas: Image.Image, page: Page, sample: Sample, rng: np.random.Generator) -> None:
    """Lines of one face, label and code set apart by a wide space."""
    ink = Image.new("RGB", canvas.size, tuple(int(v) for v in rng.uniform(10, 90) + rng.uniform(0, 20, 3)))
    mask = Image.new("L", (canvas.width * _FINE, canvas.height * _FINE), 0)
    pen = ImageDraw.Draw(mask)
    for line in page.lines:
        x, y = upright(line.x, line.y, page.width, page.height, sample.angle)
        font = _font(sample.face, line.size * _FINE)
        # Spread, as receipts are: a code's characters stand a patch apart.
        parts = [(line.key, 0.0), (line.code[0], 16.0), (line.code[1], 6.0)]
        width = sum(font.getlength(part) / _FINE + gap for part, gap in parts)
        left = x - width / 2
        for part, gap in parts:
            left += gap
            length = font.getlength(part) / _FINE
            middle = (left + length / 2 + _MARGIN) * _FINE
            _center(pen, middle, (y + _MARGIN) * _FINE, part, font, 255)
            left += length
    canvas.paste(ink, (0, 0), mask.resize(canvas.size, Image.Resampling.LANCZOS))


def _center(
    pen: ImageDraw.ImageDraw, x: float, y: float, text: str, font: ImageFont.FreeTypeFont, ink: str | int
) -> None:
    """By its ink, for faces differ in what they call the middle."""
    left, top, right, bottom = font.getbbox(text)
    pen.text((x - (left + right) / 2, y - (top + bottom) / 2), text, font=font, fill=ink)


def _spokes(count: int, outer: float, inner: float) -> list[tuple[float, float]]:
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, 2 * count, endpoint=False)
    radii = np.resize((outer, inner), 2 * count)
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)]


@lru_cache(maxsize=128)
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf", size)
