"""Local tiles side by side, as one picture. A decoder's process cuts it, so there is no torch here."""

from __future__ import annotations

from typing import Any

import numpy as np

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def cut_mosaic(thumbnail: Pixels, mosaic: Pixels, size: int) -> Pixels:
    """The thumbnail and the local tiles in raster order, uint8 [1 + K, 3, size, size].

    Args:
        thumbnail: uint8 [size, size, 3].
        mosaic: uint8 [rows * size, cols * size, 3]; [0, 0, 3] where there are no local tiles.
        size: of a tile.
    """
    rows, cols = mosaic.shape[0] // size, mosaic.shape[1] // size
    tiles = mosaic.reshape(rows, size, cols, size, 3).swapaxes(1, 2).reshape(rows * cols, size, size, 3)
    return np.ascontiguousarray(np.concatenate([thumbnail[None], tiles]).transpose(0, 3, 1, 2))
