"""What is in a picture of the second world, and how it is to look. The same index is the same sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.world.page import KEYS, Line, Page
from models.world.scene import CHARACTERS, COLORS, GRIDS, SHAPES, TILE, Scene, Thing

# What is changed: the face, size, hues, outlines and surface always; then one thing more, or all; or it is a page.
WAYS = ("face", "photograph", "turned", "jpeg", "all", "page")
# Faces that matplotlib brings, of families that no training used.
FACES = ("STIXGeneralBol", "cmb10", "cmss10", "cmtt10", "cmr10")
RADII = (13, 19)
# Degrees that a whole picture is turned, at least and at most, to either side.
ANGLES = (1.5, 5.0)
QUALITY = 30
_SALT = 20_202
_EDGE = 2


@dataclass(frozen=True)
class Sample:
    """A picture to be.

    Args:
        content: a scene or page; its places are those in the finished picture, after it was turned.
        way: of ``WAYS``.
        face: of ``FACES``.
        angle: degrees that the picture is turned counter-clockwise around its middle.
        photographed: a photograph lies behind, not a surface.
        quality: of the JPEG it is saved as and read again, or None.
        seed: of all that is drawn by chance.
    """

    content: Scene | Page
    way: str
    face: str
    angle: float
    photographed: bool
    quality: int | None
    seed: int


def sample(index: int) -> Sample:
    rng = np.random.default_rng((_SALT, index))
    way = WAYS[index % len(WAYS)]
    face = FACES[rng.integers(len(FACES))]
    angle = float(rng.uniform(*ANGLES)) * (1 if rng.random() < 0.5 else -1)
    content = _page(rng) if way == "page" else _scene(rng)
    # A page has all that paper can have; and is turned less, for its lines are long.
    angle = angle / 2 if way == "page" else angle if way in ("turned", "all") else 0.0
    quality = QUALITY if way in ("jpeg", "all", "page") else None
    return Sample(content, way, face, angle, way in ("photograph", "all"), quality, int(rng.integers(2**31)))


def upright(x: float, y: float, width: int, height: int, angle: float) -> tuple[float, float]:
    """Where a point of the turned picture was before: pixels from the corner, y downwards."""
    turn = math.radians(angle)
    dx, dy = x - width / 2, y - height / 2
    return (
        width / 2 + dx * math.cos(turn) - dy * math.sin(turn),
        height / 2 + dx * math.sin(turn) + dy * math.cos(turn),
    )


def _scene(rng: np.random.Generator) -> Scene:
    """Names are drawn until none is there twice, from few colours and shapes, so that many share one."""
    grids = list(GRIDS)
    rows, columns = grids[rng.integers(len(grids))]
    width, height = columns * TILE - int(rng.integers(0, 20)), rows * TILE
    colors, shapes = (rng.choice(len(words), 4, replace=False) for words in (COLORS, SHAPES))
    wanted = int(rng.integers(3, min(2 * rows * columns + 1, 9) + 1))
    names = rng.permutation(16)[:wanted]
    things: list[Thing] = []
    for name in names:
        color, shape = COLORS[colors[name // 4]], SHAPES[shapes[name % 4]]
        radius = int(rng.integers(RADII[0], RADII[1] + 1))
        for x, y in _places(rng, radius + _EDGE, width, height):
            # Boxes, with room for the corners of what is turned.
            if all(max(abs(x - o.x), abs(y - o.y)) > 1.15 * (radius + o.radius) for o in things):
                character = CHARACTERS[rng.integers(len(CHARACTERS))]
                things.append(Thing(color, shape, character, x, y, radius, int(rng.integers(-9, 10))))
                break
    return Scene(width, height, tuple(things), ground=0)


def _places(rng: np.random.Generator, margin: int, width: int, height: int) -> Iterator[tuple[int, int]]:
    for _ in range(200):
        yield int(rng.integers(margin, width - margin)), int(rng.integers(margin, height - margin))


def _page(rng: np.random.Generator) -> Page:
    """Blocks of lines, evenly spaced, each block in a tile: as in the first world, no line lies in two."""
    rows, columns = ((2, 1), (3, 1), (1, 2), (2, 2))[rng.integers(4)]
    keys = [str(key) for key in rng.permutation(KEYS)]
    codes: set[str] = set()
    lines = []
    for tile in range(rows * columns):
        row, column = divmod(tile, columns)
        pitch, size = int(rng.integers(24, 30)), int(rng.integers(15, 20))
        top = row * TILE + int(rng.integers(14, TILE - 2 * pitch - 12))
        left = column * TILE + TILE // 2 + int(rng.integers(-3, 4))
        for at in range(int(rng.integers(2, 4)) if rows * columns < 4 else 2):
            code = _code(rng, codes)
            codes.add(code)
            lines.append(Line(keys.pop(), code, left, top + at * pitch, size))
    return Page(columns * TILE, rows * TILE, tuple(lines), ground=0)


def _code(rng: np.random.Generator, taken: set[str]) -> str:
    """A digit and a character, in either order."""
    while True:
        pair = [str(rng.integers(10)), CHARACTERS[rng.integers(len(CHARACTERS))]]
        code = "".join(pair if rng.random() < 0.5 else reversed(pair))
        if code not in taken:
            return code
