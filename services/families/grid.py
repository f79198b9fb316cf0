"""How an image lies on its tiles: what cutting decides and splicing undoes, the same for every family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

# Which newline tokens the language model reads: one a row of the image, or only of rows that kept a token.
Newlines = Literal["every_row", "kept_rows"]


@dataclass(frozen=True)
class Placement:
    """Where an image's pixels lie on its tiles, which is for people to look at: nothing is computed by it.

    Args:
        tile_size: side of a tile in pixels.
        token_size: side in pixels of the square of a tile that one visual token shows.
        top, bottom, left, right: half-open and in pixels of the whole mosaic of local tiles: the image, all of it,
            stretched to this; around it is padding.
    """

    tile_size: int
    token_size: int
    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class Grid:
    """An image's rows x cols local tiles, ``side`` visual tokens each way; beside them there is the thumbnail.

    Args:
        width, height: of the image, in pixels.
        rows, cols: of local tiles; both 0 where the thumbnail shows all there is.
        side: visual tokens along a side of a tile.
        top, bottom, left, right: the window, half-open and in tokens of the whole mosaic of local tiles: what is image
            and not padding.
    """

    width: int
    height: int
    rows: int
    cols: int
    side: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def tile_tokens(self) -> int:
        """N."""
        return self.side**2

    def valid(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which tokens are image: bool [1 + K, N], all of the thumbnail's."""
        mosaic = np.zeros((self.rows * self.side, self.cols * self.side), bool)
        mosaic[self.top : self.bottom, self.left : self.right] = True
        tiles = mosaic.reshape(self.rows, self.side, self.cols, self.side).swapaxes(1, 2)
        return np.concatenate([np.ones((1, self.tile_tokens), bool), tiles.reshape(-1, self.tile_tokens)])
