"""Splicing is the inverse of cutting: tokens stand where Hugging Face's processor has their tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.families.internvl.splice import splice
from services.families.internvl.tiles import DynamicTiler
from tests.support.pictures import picture

TILER = DynamicTiler(tile_size=8, token_size=2, min_tiles=1, max_tiles_cut=6, resample=3)
edge = st.integers(1, 60)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(edge, edge, st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_splicing_undoes_cutting(width: int, height: int, share: float, seed: int) -> None:
    grid = TILER.grid(width, height)
    tiles = TILER.cut(picture(width, height), grid)
    assert len(tiles) == 1 + grid.rows * grid.cols <= TILER.max_tiles
    # Every token has a number by where its tile stands there, and by its place in the tile.
    ours = np.roll(np.arange(len(tiles)), -1)
    numbers = np.empty((len(tiles), grid.tile_tokens), np.int64)
    for place, tile in enumerate(ours):
        numbers[tile] = place * grid.tile_tokens + np.arange(grid.tile_tokens)
    valid = grid.valid()
    assert valid.all()
    mask = valid & (np.random.default_rng(seed).random(valid.shape) < share)
    order = splice(grid, [np.flatnonzero(each) for each in mask], "every_row")
    read = numbers[mask][order.source]
    assert read.tolist() == order.position.tolist() == sorted(numbers[mask].tolist())
    assert (order.newlines, order.full_length) == (0, numbers.size)


@pytest.mark.parametrize(("width", "height"), [(8, 8), (1, 1), (5, 4)])
def test_one_tile_is_its_thumbnail(width: int, height: int) -> None:
    grid = TILER.grid(width, height)
    assert (grid.rows, grid.cols, len(grid.valid())) == (0, 0, 1)
    place = TILER.place(grid)
    assert (place.bottom, place.right, place.tile_size, place.token_size) == (0, 0, 8, 2)


def test_local_tiles_are_in_raster_order() -> None:
    grid = TILER.grid(24, 16)
    assert (grid.rows, grid.cols) == (2, 3)
    image = picture(24, 16)
    tiles = TILER.cut(image, grid)
    pixels = np.asarray(image).transpose(2, 0, 1)
    for index, tile in enumerate(tiles[1:]):
        row, col = divmod(index, 3)
        assert np.array_equal(tile, pixels[:, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8])
