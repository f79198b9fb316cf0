"""Cutting a picture into InternVL's tiles: a decoder's process does it, so there is no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from services.families.grid import Grid
from services.families.mosaic import cut_mosaic


@dataclass(frozen=True)
class DynamicCutter:
    """
    Args:
        tile_size: side of a tile in pixels.
        resample: Pillow's resampling filter.
    """

    tile_size: int
    resample: int

    def __call__(self, image: Image.Image, grid: Grid) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The thumbnail and the local tiles in raster order, uint8 [1 + K, 3, tile_size, tile_size].

        Each is stretched to its size, whatever the picture's sides; nothing is padded.
        """
        size = self.tile_size
        mosaic = np.zeros((0, 0, 3), np.uint8)
        if grid.rows:
            mosaic = self._resized(image, grid.cols * size, grid.rows * size)
        return cut_mosaic(self._resized(image, size, size), mosaic, size)

    def _resized(self, image: Image.Image, width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.asarray(image.resize((width, height), Image.Resampling(self.resample)))
