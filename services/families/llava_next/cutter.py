"""Cutting a picture into LLaVA-NeXT's tiles: a decoder's process does it, so there is no torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from services.families.grid import Grid


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
        high, wide = grid.rows * size, grid.cols * size
        scale_w, scale_h = wide / image.width, high / image.height
        if scale_w < scale_h:
            fit = (wide, min(math.ceil(image.height * scale_w), high))
        else:
            fit = (min(math.ceil(image.width * scale_h), wide), high)
        mosaic = np.zeros((high, wide, 3), np.uint8)
        y, x = (high - fit[1]) // 2, (wide - fit[0]) // 2
        mosaic[y : y + fit[1], x : x + fit[0]] = np.asarray(image.resize(fit, resample))
        tiles = mosaic.reshape(grid.rows, size, grid.cols, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
        thumbnail = np.asarray(image.resize((size, size), resample))
        return np.ascontiguousarray(np.concatenate([thumbnail[None], tiles]).transpose(0, 3, 1, 2))
