"""What an explanation tells, held to itself before anything is reckoned or drawn of it: a service may be broken, or
another's. Each raises ArgumentError."""

from __future__ import annotations

import math
from collections.abc import Sequence

from heroserve.errors import ArgumentError
from heroserve.savings import Savings
from heroserve.v1.encoder_pb2 import Grid, Tile, Window

# More than any model reads of an image: visual tokens of all its tiles, and the side of those together in pixels.
_TOKENS, _SIDE = 1 << 16, 1 << 20
# Softmaxes end a little beside 1.
_ONE = 1.001
_NONE = "its service is broken, or speaks of something else"


def check_grid(grid: Grid) -> None:
    """Sizes that there are must agree: tokens fill their tile, and the image lies within the tiles."""
    rows, cols, side = grid.rows, grid.cols, grid.patches_per_side
    tokens, pixels = (rows * cols + 1) * side**2, max(rows, cols, 1) * grid.tile_size
    if tokens > _TOKENS or pixels > _SIDE:
        raise _nonsense(
            f"its grid has {rows}x{cols} tiles of {side}x{side} visual tokens and {grid.tile_size} pixels; "
            f"it may have {_TOKENS} tokens and be {_SIDE} pixels wide"
        )
    filled = side * grid.token_size
    if not filled <= grid.tile_size < filled + grid.token_size:
        raise _nonsense(
            f"its grid's tile_size is {grid.tile_size}, but {side} tokens of token_size {grid.token_size} take {filled}"
        )
    if rows * cols:
        _check_within("placement", grid.placement, rows * grid.tile_size, cols * grid.tile_size)
        # Of a thin image it may be empty: the model's family rounds to whole tokens.
        _check_within("window", grid.window, rows * side, cols * side)


def check_tiles(tiles: Sequence[Tile], grid: Grid) -> None:
    """Each tile once, of those that the grid has, with positions that it has, ascending; shares from 0 to 1."""
    last, most = grid.rows * grid.cols, grid.patches_per_side**2
    seen: set[int] = set()
    for tile in tiles:
        if tile.index > last or tile.index in seen:
            problem = "told of twice" if tile.index in seen else f"not there: the image has {last} local tiles"
            raise _nonsense(f"tile {tile.index} is {problem}")
        seen.add(tile.index)
        if tile.valid > most:
            raise _nonsense(f"tile {tile.index} has {tile.valid} valid visual tokens of {most}")
        before = -1
        for position in tile.positions:
            if not before < position < most:
                raise _nonsense(
                    f"tile {tile.index} has position {position} after {before}; they ascend, from 0 to {most - 1}"
                )
            before = position
        terms = tile.explanation
        shares = {
            "importance": tile.importance,
            "saliency": terms.saliency,
            "relevance": terms.relevance,
            "density": terms.density,
        }
        for name, share in shares.items():
            if not 0 <= share <= _ONE:  # nor is NaN
                raise _nonsense(f"tile {tile.index} has {name} {share:.4g}; that is a share, from 0 to 1")


def check_savings(savings: Savings) -> None:
    for name in ("prefill_flops", "kv_cache_bytes"):
        number = getattr(savings, name)
        if not 0 <= number < math.inf:
            raise _nonsense(f"its savings' {name} is {number:.4g}; nobody saves that much")


def _check_within(name: str, window: Window, high: int, wide: int) -> None:
    if not (window.top <= window.bottom <= high and window.left <= window.right <= wide):
        raise _nonsense(
            f"its grid's {name} is {window.top} to {window.bottom} down and {window.left} to {window.right} across; "
            f"its tiles are {high} down and {wide} across"
        )


def _nonsense(problem: str) -> ArgumentError:
    return ArgumentError(f"explanation: {problem}; {_NONE}")
