"""The inverse of ``tiles``: kept tokens of thumbnail and tiles, in the order LLaVA-NeXT was trained to read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.families.family import NEWLINE, Splice
from services.families.grid import Grid, Newlines


def splice(grid: Grid, kept: Sequence[np.ndarray[Any, np.dtype[np.int64]]], newlines: Newlines) -> Splice:
    """Order the tokens as Hugging Face's ``pack_image_features`` does.

    The thumbnail by position, then the local grid in raster order, a newline after each of its rows. See
    ``LanguageHalf.splice``.
    """
    high, wide = grid.bottom - grid.top, grid.right - grid.left
    thumbnail = kept[0]
    rows, columns = [], []
    for tile, positions in enumerate(kept[1:]):
        tile_row, tile_col = divmod(tile, grid.cols)
        row, column = np.divmod(positions, grid.side)
        rows.append(tile_row * grid.side + row - grid.top)
        columns.append(tile_col * grid.side + column - grid.left)
    row, column = np.concatenate(rows), np.concatenate(columns)
    # Rows without a single column have lost nothing: they stand as Hugging Face has them.
    ends = np.arange(high) if newlines == "every_row" or wide == 0 else np.unique(row)
    # Each row is its tokens and then its newline, in the column after the last.
    offset = np.concatenate([row * (wide + 1) + column, ends * (wide + 1) + wide])
    source = np.concatenate([len(thumbnail) + np.arange(len(row)), np.full(len(ends), NEWLINE)])
    order = offset.argsort()
    return Splice(
        source=np.concatenate([np.arange(len(thumbnail)), source[order]]),
        position=np.concatenate([thumbnail, grid.tile_tokens + offset[order]]),
        full_length=grid.tile_tokens + high * (wide + 1),
    )
