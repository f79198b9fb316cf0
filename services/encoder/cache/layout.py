"""What an entry can hold: whatever is read of a store is checked before anybody reckons with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from services.families.grid import Grid

if TYPE_CHECKING:
    from services.encoder.cache.entry import Entry

# Tokens along a side of a tile: positions are uint16.
_MAX_SIDE = 256
# Larger than any cut; that much and no more is set up to check where the image lies.
_MAX_TOKENS = 1 << 22
# Bytes of a value, and of a row besides its values, by dtype; as common/rows.py has it, without torch.
_DTYPES = {"float32": (4, 0), "float16": (2, 0), "bfloat16": (2, 0), "int8": (1, 4)}
_NUMBERS = [name for name, kind in get_type_hints(Grid).items() if kind is int]


class CorruptEntryError(ValueError):
    """The bytes are not an entry that this version wrote."""


def check_layout(entry: Entry) -> None:
    """Whether grid, order and rows fit together.

    Raises:
        CorruptEntryError: they don't.
    """
    _check_grid(entry.grid)
    masks = entry.grid.valid()
    valid, stored = entry.valid, entry.stored
    _expect(valid.shape == stored.shape == (len(masks),), "tiles")
    _expect(np.array_equal(valid, masks.sum(axis=1)), "valid")
    _expect(bool(((stored >= 0) & (stored <= valid)).all()), "stored")
    rows = int(stored.sum())
    _expect(entry.positions.shape == (rows,), "positions")
    _expect(entry.checksums.shape == (rows, 16), "checksums")
    tile = np.repeat(np.arange(len(masks)), stored)
    _expect(bool((entry.positions < entry.grid.tile_tokens).all()), "positions")
    _expect(bool(masks[tile, entry.positions].all()), "positions")
    places = tile * entry.grid.tile_tokens + entry.positions
    _expect(np.bincount(places, minlength=1).max() <= 1, "positions")
    _expect(isinstance(entry.dtype, str) and entry.dtype in _DTYPES, "dtype")
    _expect(_is_number(entry.feature_width) and entry.feature_width >= 1, "width")
    value, besides = _DTYPES[entry.dtype]
    _expect(_is_number(entry.row_bytes) and entry.row_bytes == besides + value * entry.feature_width, "row_bytes")
    _expect(entry.saliency_cos.ndim == 1 and entry.relevance.ndim == 2, "terms")
    _expect(bool(np.isfinite(entry.saliency_cos).all() and np.isfinite(entry.relevance).all()), "terms")


def check_terms(entry: Entry, side: int | None, relevance: int | None) -> None:
    """Whether a plan can be made of it by who cuts and embeds like this.

    Args:
        entry: that ``check_layout`` has passed.
        side: visual tokens along a side of a tile; None for any.
        relevance: D, values of an embedding, 0 without a relevance model; None for any.

    Raises:
        CorruptEntryError: it can't.
    """
    tiles = len(entry.valid) - 1
    _expect(entry.saliency_cos.shape == (tiles,) and len(entry.relevance) == max(tiles, 1), "terms")
    _expect(side is None or entry.grid.side == side, "side")
    _expect(relevance is None or entry.relevance.shape[1] == relevance, "relevance")


def _check_grid(grid: Grid) -> None:
    _expect(all(_is_number(getattr(grid, name)) for name in _NUMBERS), "plan")
    _expect(min(grid.width, grid.height, grid.side) >= 1, "plan")
    # Without local tiles, of 0 x 0, an image is its thumbnail alone.
    _expect(min(grid.rows, grid.cols) >= (grid.rows + grid.cols > 0), "plan")
    _expect(grid.side <= _MAX_SIDE and grid.rows * grid.cols * grid.tile_tokens <= _MAX_TOKENS, "plan")
    # Of a thin image the window may be empty.
    _expect(0 <= grid.top <= grid.bottom <= grid.rows * grid.side, "plan")
    _expect(0 <= grid.left <= grid.right <= grid.cols * grid.side, "plan")
    # They go over the wire as uint32.
    _expect(max(grid.width, grid.height) < 1 << 32, "plan")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise CorruptEntryError(f"{what}: not what an entry can hold")
