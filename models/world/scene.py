"""The synthetic world: scenes of small coloured shapes, each with a printed character, on textured ground.

A scene is data; ``render`` draws it and ``questions`` asks about it. The same (split, index) is the same scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "white")
SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")
CHARACTERS = tuple("0123456789ACEHKT")

# Half an object's width in pixels: about two patches across at full resolution, one in a thumbnail.
RADII = (14, 17)
TILE = 112
# (rows, columns) of tiles of a scene, and how often it has them.
GRIDS = {(1, 2): 0.12, (2, 1): 0.12, (2, 2): 0.46, (1, 3): 0.1, (3, 1): 0.1, (2, 3): 0.05, (3, 2): 0.05}
# Pixels that a scene may fall short of whole tiles in one direction: the anyres grid pads them.
SHORTFALL = 32

SPLITS = ("train", "validation", "test", "clutter")


@dataclass(frozen=True)
class Thing:
    """One object. ``x`` and ``y`` are its centre in pixels of the scene, ``radius`` half its width."""

    color: str
    shape: str
    character: str
    x: int
    y: int
    radius: int
    turn: int

    @property
    def name(self) -> str:
        return f"{self.color} {self.shape}"

    @property
    def facts(self) -> tuple[str, ...]:
        """What a caption may claim of it."""
        return (self.color, self.shape, self.character)


@dataclass(frozen=True)
class Scene:
    """A picture to be: its size in pixels, its objects, and the seed of its ground."""

    width: int
    height: int
    things: tuple[Thing, ...]
    ground: int


def sample_scene(split: str, index: int) -> Scene:
    """Scene ``index`` of a split; splits share no scene.

    Colours and shapes come from a few of each, so that objects share them and a question must bind both. No two
    objects of a scene share both.
    """
    rng = _generator(split, index)
    grids = list(GRIDS)
    rows, columns = grids[rng.choice(len(grids), p=list(GRIDS.values()))]
    width, height = TILE * columns, TILE * rows
    if rng.random() < 0.5:
        if rng.random() < 0.5:
            width -= int(rng.integers(0, SHORTFALL + 1))
        else:
            height -= int(rng.integers(0, SHORTFALL + 1))
    count = int(rng.integers(max(3, rows * columns), min(2 * rows * columns + 1, 9) + 1))
    kinds = _kinds(rng, count, 4)
    return Scene(width, height, _place(rng, kinds, width, height), int(rng.integers(2**31)))


def sample_crowd(index: int, width: int = TILE, height: int = TILE) -> Scene:
    """One tile's worth of training picture, far more crowded than a scene: much to learn from few pixels.

    Objects may be cut by its edges, as tiles cut them.
    """
    rng = _generator("clutter", index)
    kinds = _kinds(rng, int(rng.integers(4, 11)), 8)
    return Scene(width, height, _place(rng, kinds, width, height, margin=-8, gap=0), int(rng.integers(2**31)))


def _generator(split: str, index: int) -> np.random.Generator:
    return np.random.default_rng((SPLITS.index(split), index))


def _kinds(rng: np.random.Generator, count: int, palette: int) -> list[tuple[str, str]]:
    colors = rng.permutation(len(COLORS))[:palette]
    shapes = rng.permutation(len(SHAPES))[: max(3, min(palette, len(SHAPES)))]
    pairs = [(COLORS[color], SHAPES[shape]) for color in colors for shape in shapes]
    return [pairs[at] for at in rng.permutation(len(pairs))[:count]]


def _place(
    rng: np.random.Generator, kinds: list[tuple[str, str]], width: int, height: int, margin: int = 2, gap: int = 3
) -> tuple[Thing, ...]:
    """Put objects where none covers another; what finds no place after many tries is left out."""
    things: list[Thing] = []
    for color, shape in kinds:
        radius = int(rng.integers(RADII[0], RADII[1] + 1))
        for _ in range(60):
            draw: Callable[[int], int] = partial(_coordinate, rng, radius + margin)
            x, y = draw(width), draw(height)
            if all(max(abs(x - other.x), abs(y - other.y)) >= radius + other.radius + gap for other in things):
                character = CHARACTERS[rng.integers(len(CHARACTERS))]
                things.append(Thing(color, shape, character, x, y, radius, int(rng.integers(-1, 2)) * 8))
                break
    return tuple(things)


def _coordinate(rng: np.random.Generator, margin: int, side: int) -> int:
    return int(rng.integers(margin, side - margin))
