"""What lies behind the objects: photographs and surfaces that scikit-image brings, and patterns drawn here."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "camera.png")
SURFACES = ("brick.png", "grass.png", "gravel.png")
PATTERNS = ("stripes", "checks", "slope", "blots")


def photograph(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A part of a photograph, a quarter of it at least, mirrored as often as not."""
    whole = _read(PHOTOGRAPHS[rng.integers(len(PHOTOGRAPHS))])
    scale = min(whole.width / width, whole.height / height) * rng.uniform(0.5, 1)
    part = _cut(rng, whole, int(width * scale), int(height * scale)).resize((width, height), Image.Resampling.LANCZOS)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def surface(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Brick, grass or gravel, tinted and paler than it is, or a pattern."""
    choices = (*SURFACES, *PATTERNS)
    kind = choices[rng.integers(len(choices))]
    grey = _grey(kind, rng, width, height)
    tint = rng.uniform(90, 200) + rng.uniform(-20, 20, 3)
    relief = (np.asarray(grey, dtype=np.float64) - 128) * rng.uniform(0.25, 0.5)
    return Image.fromarray((relief[..., None] + tint).clip(0, 255).astype(np.uint8))


def paper(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Light, with the shade of gravel or of a slope on it."""
    kind = ("gravel.png", "slope", "blots")[rng.integers(3)]
    grey = _grey(kind, rng, width, height)
    relief = (np.asarray(grey, dtype=np.float64) - 128) * rng.uniform(0.05, 0.15)
    light: NDArray[np.float64] = relief[..., None] + rng.uniform(205, 240) + rng.uniform(-12, 12, 3)
    return Image.fromarray(light.clip(0, 255).astype(np.uint8))


def _grey(kind: str, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    if kind in PATTERNS:
        return _pattern(kind, rng, width, height)
    return _cut(rng, _read(kind).convert("L"), width, height)


def _pattern(kind: str, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Grey, around 128."""
    down, across = np.mgrid[:height, :width].astype(np.float64)
    angle, period = rng.uniform(0, np.pi), rng.uniform(9, 30)
    along = across * np.cos(angle) + down * np.sin(angle)
    if kind == "blots":
        image = Image.new("L", (width, height), 128)
        pen = ImageDraw.Draw(image)
        for x, y, reach, grey in rng.uniform((0, 0, 4, 40), (width, height, 26, 216), (width * height // 900, 4)):
            pen.ellipse([x - reach, y - reach, x + reach, y + reach], fill=int(grey))
        return image.filter(ImageFilter.GaussianBlur(2))
    other = down * np.cos(angle) - across * np.sin(angle)
    waves = {
        "stripes": np.sin(2 * np.pi * along / period),
        "checks": np.sign(np.sin(2 * np.pi * along / period) * np.sin(2 * np.pi * other / period)),
        "slope": 2 * (along - along.min()) / (np.ptp(along) + 1) - 1,
    }
    return Image.fromarray((128 + 80 * waves[kind]).astype(np.uint8))


def _cut(rng: np.random.Generator, image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (int(rng.integers(0, room + 1)) for room in (image.width - width, image.height - height))
    return image.crop((left, top, left + width, top + height))


@lru_cache(maxsize=16)
def _read(name: str) -> Image.Image:
    """From the package's own folder: its functions would fetch what they do not find."""
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the second world's backdrops are scikit-image's: pip install scikit-image")
    with Image.open(Path(found.submodule_search_locations[0]) / "data" / name) as image:
        return image.convert("RGB")
