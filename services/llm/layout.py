"""The order in which a language model reads an image's kept tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heroserve.v1.encoder_pb2 import VisualTokens

NEWLINE = -1


@dataclass(frozen=True)
class ImageLayout:
    """One image's sequence: the thumbnail by position, then the local grid in raster order, a newline a row.

    Args:
        source: int64 [n], for each token the row of ``features`` it is made from, or NEWLINE.
        position: int64 [n], its offset in the sequence that nothing was dropped from.
        full_length: length of that sequence.
    """

    source: np.ndarray[Any, np.dtype[np.int64]]
    position: np.ndarray[Any, np.dtype[np.int64]]
    full_length: int

    @property
    def newlines(self) -> int:
        return int((self.source == NEWLINE).sum())


def lay_out(tokens: VisualTokens, newlines: str) -> ImageLayout:
    """Order the tokens as Hugging Face's ``pack_image_features`` does.

    Args:
        tokens: the encoder's answer.
        newlines: "every_row" of the image, or only "kept_rows", those that kept a token.
    """
    grid = tokens.grid
    side, cols = grid.patches_per_side, grid.cols
    top, left = grid.window.top, grid.window.left
    height, width = grid.window.bottom - top, grid.window.right - left
    thumbnail = np.array(tokens.tiles[0].positions, np.int64)
    rows, columns = [], []
    for tile in tokens.tiles[1:]:
        tile_row, tile_col = divmod(tile.index - 1, cols)
        row, column = np.divmod(np.array(tile.positions, np.int64), side)
        rows.append(tile_row * side + row - top)
        columns.append(tile_col * side + column - left)
    row, column = np.concatenate(rows), np.concatenate(columns)
    ends = np.arange(height) if newlines == "every_row" else np.unique(row)
    # Each row is its patches and then its newline, in the column after the last.
    offset = np.concatenate([row * (width + 1) + column, ends * (width + 1) + width])
    source = np.concatenate([len(thumbnail) + np.arange(len(row)), np.full(len(ends), NEWLINE)])
    order = offset.argsort()
    return ImageLayout(
        source=np.concatenate([np.arange(len(thumbnail)), source[order]]),
        position=np.concatenate([thumbnail, side**2 + offset[order]]),
        full_length=side**2 + height * (width + 1),
    )
