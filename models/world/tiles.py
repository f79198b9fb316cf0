"""A picture's tiles, cut by the encoder service's own code: the world's own are LLaVA-NeXT's."""

from __future__ import annotations

from PIL import Image

from services.families.family import Tiler
from services.families.grid import Grid
from services.families.llava_next.tiles import AnyresTiler

from .labels import PATCH
from .look import PLAIN, Look
from .page import Page
from .print import print_page
from .render import Pixels, render
from .scene import GRIDS, TILE, Scene

PINPOINTS = [[TILE * rows, TILE * columns] for rows, columns in [*GRIDS, (3, 3)]]
TILER = AnyresTiler(TILE, PATCH, tuple((height, width) for height, width in PINPOINTS), Image.Resampling.BICUBIC)


def scene_grid(scene: Scene | Page) -> Grid:
    return TILER.grid(scene.width, scene.height)


def draw(scene: Scene | Page, look: Look = PLAIN) -> Pixels:
    """uint8 [height, width, 3]."""
    return print_page(scene, look) if isinstance(scene, Page) else render(scene, look)


def cut_scene(scene: Scene | Page, grid: Grid, look: Look = PLAIN, tiler: Tiler = TILER) -> Pixels:
    """The thumbnail and the local tiles, uint8 [1 + K, 3, TILE, TILE]."""
    return tiler.cut(Image.fromarray(draw(scene, look)), grid)
