"""The reference model's tiles: cut by the encoder service's own code."""

from __future__ import annotations

from PIL import Image

from services.encoder.tiling import TilePlan, Tiler

from .labels import PATCH
from .render import Pixels, render
from .scene import GRIDS, TILE, Scene

PINPOINTS = [[TILE * rows, TILE * columns] for rows, columns in [*GRIDS, (3, 3)]]
TILER = Tiler(TILE, PATCH, tuple((height, width) for height, width in PINPOINTS), Image.Resampling.BICUBIC)


def plan_scene(scene: Scene) -> TilePlan:
    return TILER.plan(scene.width, scene.height)


def cut_scene(scene: Scene, plan: TilePlan) -> Pixels:
    """The thumbnail and the local tiles, uint8 [1 + K, 3, TILE, TILE]."""
    return TILER.cut(Image.fromarray(render(scene)), plan)
