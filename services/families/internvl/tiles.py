"""InternVL's dynamic tiling: as many tiles as come nearest to a picture's shape, and the whole picture as one more.

Pixels and grids are those of Hugging Face's GotOcr2ImageProcessor, as InternVL's processor calls it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

from services.common.checkpoint import Checkpoint
from services.families.grid import Grid, Placement
from services.families.internvl.cutter import DynamicCutter
from services.families.internvl.facts import checked_config, edge_of, patches_per_token
from services.families.internvl.preprocessing import check_tiles, dynamic_processor, limits_of
from services.families.preprocessing import resampling_of


@dataclass(frozen=True)
class DynamicTiler:
    """How a checkpoint wants its images cut.

    A picture that is one tile is its thumbnail alone: the same pixels, which the model is shown once.

    Args:
        tile_size: side of a tile in pixels.
        token_size: side of the square of a tile that a token shows: of one patch, or of several.
        min_tiles, max_tiles_cut: how many local tiles a picture is cut into, but for one that is none.
        resample: Pillow's resampling filter.
    """

    tile_size: int
    token_size: int
    min_tiles: int
    max_tiles_cut: int
    resample: int

    @property
    def tokens_per_side(self) -> int:
        return self.tile_size // self.token_size

    @property
    def max_tiles(self) -> int:
        return 1 + self.max_tiles_cut if self.max_tiles_cut > 1 else 1

    @property
    def identity(self) -> list[Any]:
        return ["internvl", self.tile_size, self.token_size, self.min_tiles, self.max_tiles_cut, self.resample]

    @classmethod
    def of(cls, source: Checkpoint) -> DynamicTiler:
        """Read from the model's config and image processor.

        Raises:
            SettingError: the two do not agree, or ask for tiles that are not served.
        """
        config = checked_config(source)
        processor = dynamic_processor(source)
        least, most = limits_of(processor, source)
        tiler = cls(
            tile_size=edge_of(config, "image_size", source),
            token_size=edge_of(config, "patch_size", source) * patches_per_token(config, source),
            min_tiles=least,
            max_tiles_cut=most,
            resample=resampling_of(processor, source),
        )
        check_tiles(tiler, processor, source)
        return tiler

    def grid(self, width: int, height: int) -> Grid:
        """The grid an image of this size becomes; 0 x 0 where it is one tile. No image is without one."""
        cols, rows = 1, 1
        if self.max_tiles_cut > 1:
            cols, rows = get_optimal_tiled_canvas(
                (height, width), (self.tile_size, self.tile_size), self.min_tiles, self.max_tiles_cut
            )
        if rows * cols == 1:
            rows = cols = 0
        side = self.tokens_per_side
        return Grid(width, height, rows, cols, side, 0, rows * side, 0, cols * side)

    def place(self, grid: Grid) -> Placement:
        """All of the mosaic: an image is stretched to it."""
        size = self.tile_size
        return Placement(size, self.token_size, 0, grid.rows * size, 0, grid.cols * size)

    @property
    def cutter(self) -> DynamicCutter:
        return DynamicCutter(self.tile_size, self.resample)

    def cut(self, image: Image.Image, grid: Grid) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The thumbnail and the local tiles in raster order, uint8 [1 + K, 3, tile_size, tile_size]."""
        return self.cutter(image, grid)
