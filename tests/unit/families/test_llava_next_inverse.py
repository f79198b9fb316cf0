"""Splicing is the inverse of cutting: what was cut into tiles is read again as the picture it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.families.family import NEWLINE
from services.families.grid import Grid, Newlines
from services.families.llava_next.splice import splice
from services.families.llava_next.tiles import AnyresTiler

SIDE, PATCH = 4, 2
TILE = SIDE * PATCH
Kept = list[np.ndarray[Any, np.dtype[np.int64]]]


@st.composite
def pictures(draw: st.DrawFn) -> tuple[AnyresTiler, Grid, Image.Image]:
    """A picture whose every patch has a colour of its own, of a size that cutting does not resize."""
    rows, cols = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    tiler = AnyresTiler(TILE, PATCH, ((rows * TILE, cols * TILE),), Image.Resampling.NEAREST)
    high, wide = rows * SIDE, cols * SIDE
    # It fills the grid along one side; along the other padding is even, so that no patch is cut through.
    if draw(st.booleans()):
        high -= 2 * draw(st.integers(0, (high - 1) // 2))
    else:
        wide -= 2 * draw(st.integers(0, (wide - 1) // 2))
    numbers = np.arange(1, high * wide + 1).reshape(high, wide)
    colours = np.stack([numbers % 256, numbers // 256, np.zeros_like(numbers)], axis=-1).astype(np.uint8)
    image = Image.fromarray(colours.repeat(PATCH, axis=0).repeat(PATCH, axis=1))
    return tiler, tiler.grid(*image.size), image


def tokens_of(tiles: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The number that each patch of each tile shows, int64 [T, N]; 0 is padding."""
    shown = tiles[:, :, ::PATCH, ::PATCH].astype(np.int64)
    return (shown[:, 0] + 256 * shown[:, 1]).reshape(len(tiles), -1)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(pictures(), st.floats(0, 1), st.integers(0, 2**32 - 1), st.sampled_from(["every_row", "kept_rows"]))
def test_splicing_undoes_cutting(
    made: tuple[AnyresTiler, Grid, Image.Image], share: float, seed: int, newlines: Newlines
) -> None:
    tiler, grid, image = made
    tokens = tokens_of(tiler.cut(image, grid))
    valid = grid.valid()
    # What the grid calls image is what shows some of it, and nothing else.
    assert ((tokens[1:] > 0) == valid[1:]).all()
    kept_mask = valid & (np.random.default_rng(seed).random(valid.shape) < share)
    kept: Kept = [np.flatnonzero(mask) for mask in kept_mask]
    features = np.concatenate([tokens[tile, positions] for tile, positions in enumerate(kept)])
    order = splice(grid, kept, newlines)

    # The thumbnail by position, and then the picture itself in raster order, a newline after each of its rows.
    thumbnail = list(tokens[0])
    high, wide = grid.bottom - grid.top, grid.right - grid.left
    picture = np.arange(1, high * wide + 1).reshape(high, wide).tolist()
    full = [*thumbnail, *(number for row in picture for number in [*row, NEWLINE])]
    survivors = {*features[len(kept[0]) :].tolist()}
    stays = list(kept_mask[0])
    for row in picture:
        here = [number in survivors for number in row]
        stays += [*here, newlines == "every_row" or any(here)]

    read = [NEWLINE if source == NEWLINE else int(features[source]) for source in order.source]
    assert read == [token for token, stay in zip(full, stays, strict=True) if stay]
    assert order.position.tolist() == np.flatnonzero(stays).tolist()
    assert order.full_length == len(full)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 400), st.integers(1, 400))
def test_any_size_is_read_row_by_row(width: int, height: int) -> None:
    """Also where cutting resizes: positions ascend, none twice, each row of the window once."""
    tiler = AnyresTiler(TILE, PATCH, ((TILE, 2 * TILE), (2 * TILE, TILE), (2 * TILE, 2 * TILE)), 3)
    if max(width / height, height / width) > 200:
        return
    grid = tiler.grid(width, height)
    order = splice(grid, [np.flatnonzero(mask) for mask in grid.valid()], "every_row")
    assert order.position.tolist() == list(range(order.full_length))
    assert order.newlines == grid.bottom - grid.top
    rows = order.source[order.source != NEWLINE]
    assert sorted(rows.tolist()) == list(range(int(grid.valid().sum())))
