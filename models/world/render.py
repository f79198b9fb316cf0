"""Draw a scene."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .look import PLAIN, Look, font, save_as_jpeg
from .scene import Scene

Pixels = NDArray[np.uint8]

_RGB = {
    "red": (214, 40, 40),
    "green": (44, 160, 64),
    "blue": (40, 84, 214),
    "yellow": (240, 214, 50),
    "purple": (140, 60, 180),
    "orange": (244, 140, 40),
    "black": (24, 24, 28),
    "white": (246, 246, 246),
}
_DARK_INK = {"yellow", "orange", "white"}
# Sprites are drawn this many times too large and scaled down, for smooth edges.
_SCALE = 3


def render(scene: Scene, look: Look = PLAIN) -> Pixels:
    """uint8 [height, width, 3]. The same scene is the same picture, byte for byte."""
    rng = np.random.default_rng(scene.ground)
    canvas = _ground(rng, scene.width, scene.height, look.rough)
    for thing in scene.things:
        # What is drawn again and again is kept; of other looks there are too many.
        draw = _sprite if look == PLAIN else _draw_sprite
        turn = thing.turn + look.turn
        sprite = draw(thing.color, thing.shape, thing.character, thing.radius, turn, look.face)
        shade = np.float32(rng.uniform(0.88, 1.06))
        _paste(canvas, sprite, thing.x, thing.y, shade)
    pixels: Pixels = canvas.clip(0, 255).astype(np.uint8)
    return pixels if look.jpeg is None else save_as_jpeg(pixels, look.jpeg)


def as_png(pixels: Pixels) -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _ground(rng: np.random.Generator, width: int, height: int, rough: float) -> NDArray[np.float32]:
    """Uneven, grainy ground with thin strokes across it."""
    tint = rng.uniform(105, 190) + rng.uniform(-14, 14, 3)
    coarse = rng.normal(0, 16, (height // 28 + 2, width // 28 + 2)).astype(np.float32)
    clouds = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    drawing = Image.new("L", (width, height), 128)
    pen = ImageDraw.Draw(drawing)
    for _ in range(width * height // 2400):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        reach = rng.uniform(-18, 18, 2)
        pen.line([x, y, x + reach[0], y + reach[1]], fill=int(rng.integers(70, 187)), width=int(rng.integers(1, 3)))
    strokes = np.asarray(drawing, dtype=np.float32) - 128
    grain = rng.standard_normal((height, width), dtype=np.float32) * 6
    ground: NDArray[np.float32] = ((clouds + strokes + grain) * np.float32(rough))[..., None] + tint.astype(np.float32)
    return ground


def _paste(canvas: NDArray[np.float32], sprite: NDArray[np.float64], x: int, y: int, shade: np.float32) -> None:
    height, width = canvas.shape[:2]
    side = sprite.shape[0]
    left, top = x - side // 2, y - side // 2
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if x0 >= x1 or y0 >= y1:
        return
    cut = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = cut[..., 3:]
    canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - alpha) + cut[..., :3] * shade * alpha


def _draw_sprite(
    color: str, shape: str, character: str, radius: int, turn: int, face: str | None
) -> NDArray[np.float64]:
    """float64 [side, side, 4]: RGB 0..255 and alpha 0..1."""
    side = 2 * radius + 5
    big = side * _SCALE
    image = Image.new("RGBA", (big, big), (*_RGB[color], 0))
    pen = ImageDraw.Draw(image)
    middle, reach = big / 2, radius * _SCALE
    if shape == "circle":
        pen.ellipse([middle - reach, middle - reach, middle + reach, middle + reach], fill=_RGB[color])
    else:
        pen.polygon([(middle + reach * dx, middle + reach * dy) for dx, dy in _OUTLINES[shape]], fill=_RGB[color])
    ink = (16, 16, 16) if color in _DARK_INK else (250, 250, 250)
    low = 0.12 * reach if shape == "triangle" else 0.0
    pen.text((middle, middle + low), character, font=font(int(1.15 * reach), face), fill=ink, anchor="mm")
    image = image.rotate(turn, Image.Resampling.BICUBIC, fillcolor=(*_RGB[color], 0))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.float32) / (1, 1, 1, 255)


_sprite = lru_cache(maxsize=16384)(_draw_sprite)


def _star() -> list[tuple[float, float]]:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 1.12, 0.58)
    return list(zip((radii * np.cos(angles)).tolist(), (radii * np.sin(angles)).tolist(), strict=True))


_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "triangle": [(0, -1.1), (1.1, 0.92), (-1.1, 0.92)],
    "star": _star(),
    "diamond": [(0, -1.12), (1.12, 0), (0, 1.12), (-1.12, 0)],
    "cross": [
        *[(-0.42, -1), (0.42, -1), (0.42, -0.42), (1, -0.42), (1, 0.42), (0.42, 0.42)],
        *[(0.42, 1), (-0.42, 1), (-0.42, 0.42), (-1, 0.42), (-1, -0.42), (-0.42, -0.42)],
    ],
}
