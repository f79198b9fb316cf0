"""Cutting a picture into LLaVA-NeXT's tiles: a decoder's process does it, so there is no torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from services.families.grid import Grid
from services.families.mosaic import cut_mosaic


@dataclass(frozen=True)
class AnyresCutter:
    """
    Args:
        tile_size: side of a tile in pixels.
        resample: Pillow's resampling filter.
    """

    tile_size: int
    resample: int

    def __call__(self, image: Image.Image, grid: Grid) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The thumbnail and the local tiles in raster order, uint8 [1 + K, 3, tile_size, tile_size]."""
        size = self.tile_size
        resample = Image.Resampling(self.resample)
        x, y, width, height = self.fit(grid)
        mosaic = np.zeros((grid.rows * size, grid.cols * size, 3), np.uint8)
        mosaic[y : y + height, x : x + width] = np.asarray(image.resize((width, height), resample))
        return cut_mosaic(np.asarray(image.resize((size, size), resample)), mosaic, size)

    def fit(self, grid: Grid) -> tuple[int, int, int, int]:
        """Where the image lies in the mosaic of local tiles: left, top, width and height in pixels."""
        high, wide = grid.rows * self.tile_size, grid.cols * self.tile_size
        scale_w, scale_h = wide / grid.width, high / grid.height
        if scale_w < scale_h:
            width, height = wide, min(math.ceil(grid.height * scale_w), high)
        else:
            width, height = min(math.ceil(grid.width * scale_h), wide), high
        return (wide - width) // 2, (high - height) // 2, width, height
