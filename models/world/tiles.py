"""The reference model's tiles: cut by the encoder service's own code."""

from __future__ import annotations

from PIL import Image

from services.families.grid import Grid
from services.families.llava_next.tiles import AnyresTiler

from .labels import PATCH
from .render import Pixels, render
from .scene import GRIDS, TILE, Scene

PINPOINTS = [[TILE * rows, TILE * columns] for rows, columns in [*GRIDS, (3, 3)]]
TILER = AnyresTiler(TILE, PATCH, tuple((height, width) for height, width in PINPOINTS), Image.Resampling.BICUBIC)


def scene_grid(scene: Scene) -> Grid:
    return TILER.grid(scene.width, scene.height)


def cut_scene(scene: Scene, grid: Grid) -> Pixels:
    """The thumbnail and the local tiles, uint8 [1 + K, 3, TILE, TILE]."""
    return TILER.cut(Image.fromarray(render(scene)), grid)
