"""Which visual tokens of an image were kept, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.families.grid import Grid, Placement


@dataclass(frozen=True)
class TileTerms:
    """What a tile has, and what made it matter: importance and terms are HERO's, and 0 of the thumbnail.

    Args:
        valid: visual tokens that are image, not padding.
        importance: of the local tiles they sum to about 1.
        saliency, relevance, density: its terms; relevance is 0 of all tiles where it is switched off.
    """

    valid: int
    importance: float
    saliency: float
    relevance: float
    density: float


@dataclass(frozen=True)
class Explanation:
    """Of one image.

    Args:
        digest: of its encoded file.
        question: by which its tokens were chosen.
        grid, placement: how it was cut, and where it then lay.
        kept: for each tile, the thumbnail's first, int64 [<= N], the kept positions within it, ascending.
        tiles: in the same order.
    """

    digest: str
    question: str
    grid: Grid
    placement: Placement
    kept: Sequence[np.ndarray[Any, np.dtype[np.int64]]]
    tiles: tuple[TileTerms, ...]

    @property
    def total(self) -> int:
        """Visual tokens of the whole image."""
        return sum(tile.valid for tile in self.tiles)
