"""The inverse of ``tiles``: kept tokens of tiles and thumbnail, in the order InternVL was trained to read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.families.family import Splice
from services.families.grid import Grid, Newlines


def splice(grid: Grid, kept: Sequence[np.ndarray[Any, np.dtype[np.int64]]], newlines: Newlines) -> Splice:
    """Order the tokens as Hugging Face's processor does the tiles: one local tile after the other, the thumbnail last.

    Within a tile by position. There are no newlines, whatever is asked. See ``LanguageHalf.splice``.
    """
    del newlines
    first, local = len(kept[0]), sum(map(len, kept[1:]))
    tiles = [*kept[1:], kept[0]]
    return Splice(
        # Rows stand with the thumbnail's first.
        source=np.concatenate([first + np.arange(local), np.arange(first)]),
        position=np.concatenate([index * grid.tile_tokens + positions for index, positions in enumerate(tiles)]),
        full_length=len(kept) * grid.tile_tokens,
    )
