"""A token's box is what of the image its pixels were made of, whatever the family cuts and the image's size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from PIL import Image

from heroserve.errors import ArgumentError
from heroserve.geometry import Box, Geometry
from heroserve.v1.encoder_pb2 import Grid as GridMessage
from services.encoder.response import grid_message
from services.families.grid import Grid, Placement
from services.families.internvl.tiles import DynamicTiler
from services.families.llava_next.tiles import AnyresTiler

SIDE, PATCH = 112, 14
SIZES = [
    *((112, 112), (224, 112), (336, 336)),  # whole tiles
    *((1, 1), (5, 3), (50, 80), (111, 113)),  # below a tile
    *((225, 111), (337, 335), (481, 641), (97, 401), (1023, 767), (333, 1000)),  # odd
    *((376, 47), (47, 376), (4, 100), (2, 400), (1201, 199)),  # thin
]
GRIDS = ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (3, 2))
Cut = Callable[[int, int], tuple[Grid, Placement, np.ndarray]]


def traced(width: int, height: int) -> Image.Image:
    """Each pixel says which one it is."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x % 256, y % 256, x // 256 + 16 * (y // 256)], -1).astype(np.uint8))


def padded(patch: int, width: int, height: int) -> tuple[Grid, Placement, np.ndarray]:
    """LLaVA-NeXT's own cutter. It takes pixels as they are, so that each can be told by what it says."""
    pinpoints = tuple((rows * SIDE, columns * SIDE) for rows, columns in GRIDS)
    tiler = AnyresTiler(SIDE, patch, pinpoints, Image.Resampling.NEAREST)
    grid = tiler.grid(width, height)
    return grid, tiler.place(grid), tiler.cut(traced(width, height), grid)


def stretched(most: int, width: int, height: int) -> tuple[Grid, Placement, np.ndarray]:
    """InternVL's own; a picture of one tile is its thumbnail alone."""
    tiler = DynamicTiler(SIDE, 2 * PATCH, 1, most, Image.Resampling.NEAREST)
    grid = tiler.grid(width, height)
    return grid, tiler.place(grid), tiler.cut(traced(width, height), grid)


CUTS: dict[str, Cut] = {
    "padded": partial(padded, PATCH),
    # Tokens that don't fill their tile.
    "padded, 7 patches of 15 pixels": partial(padded, 15),
    "stretched": partial(stretched, 12),
    "stretched to few": partial(stretched, 3),
    "one tile": partial(stretched, 1),
}


@pytest.mark.parametrize("family", CUTS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_box_is_what_its_token_was_made_of(family: str, width: int, height: int) -> None:
    grid, placed, tiles = CUTS[family](width, height)
    geometry = Geometry(grid_message(grid, placed))
    tile_size, size = placed.tile_size, placed.token_size
    checked = 0
    for tile in range(len(tiles)):
        # Pixels of the image to a pixel of the tile, across and down.
        scale = (
            (width / tile_size, height / tile_size)
            if not tile
            else (width / (placed.right - placed.left), height / (placed.bottom - placed.top))
        )
        row, column = divmod(tile - 1, grid.cols) if tile else (0, 0)
        for position in range(grid.tile_tokens):
            y, x = (index * size for index in divmod(position, grid.side))
            if tile:
                down, across = row * tile_size + y, column * tile_size + x
                inside = placed.left <= across and across + size <= placed.right
                if not (inside and placed.top <= down and down + size <= placed.bottom):
                    continue
            box = geometry.token(tile, position)
            red, green, blue = tiles[tile, :, y : y + size, x : x + size].astype(int)
            sources = (red + 256 * (blue % 16), green + 256 * (blue // 16))
            for source, low, high, step in zip(
                sources, (box.left, box.top), (box.right, box.bottom), scale, strict=True
            ):
                # The middle of the token's first and last pixel lies in the image's pixel that they show.
                assert source.min() == pytest.approx(low + step / 2 - 0.5, abs=0.5 + 1e-6)
                assert source.max() == pytest.approx(high - step / 2 - 0.5, abs=0.5 + 1e-6)
            checked += 1
    assert checked >= grid.tile_tokens


@pytest.mark.parametrize(("width", "height"), [(337, 335), (97, 401), (1023, 767)])
def test_what_is_valid_lies_in_the_image_and_what_is_not_beside_it(width: int, height: int) -> None:
    """To half a token: the model's family rounds to whole ones."""
    grid, placed, _ = padded(PATCH, width, height)
    geometry = Geometry(grid_message(grid, placed))
    assert geometry.padded
    for tile, mask in enumerate(grid.valid()):
        for position, valid in enumerate(mask):
            box = geometry.token(tile, position)
            share = box.width * box.height / (geometry.pitch[0] * geometry.pitch[1])
            assert valid or share < 0.51
            assert share > 0 or not valid
    mosaic = geometry.mosaic
    assert mosaic is not None
    tiles = [geometry.tile(index) for index in range(1, grid.rows * grid.cols + 1)]
    assert (tiles[0].left, tiles[0].top) == (mosaic.left, mosaic.top)
    assert tiles[-1].right == pytest.approx(mosaic.right)
    assert tiles[-1].bottom == pytest.approx(mosaic.bottom)
    assert geometry.tile(0) == Box(0, 0, width, height)


def test_what_is_not_there_is_refused() -> None:
    grid, placed, _ = padded(PATCH, 337, 335)
    message = grid_message(grid, placed)
    geometry = Geometry(message)
    tiles = grid.rows * grid.cols
    with pytest.raises(ArgumentError, match=f"tile: is {tiles + 1}; the image has {tiles} local tiles"):
        geometry.token(tiles + 1, 0)
    with pytest.raises(ArgumentError, match="position: is 64; a tile has 64 visual tokens"):
        geometry.token(1, 64)
    old = GridMessage()
    old.CopyFrom(message)
    old.ClearField("token_size")
    with pytest.raises(ArgumentError, match="too old"):
        Geometry(old)
    old.CopyFrom(message)
    old.ClearField("placement")
    with pytest.raises(ArgumentError, match="that is nothing"):
        Geometry(old)


def test_tokens_of_an_image_cover_it_without_a_gap() -> None:
    width, height = 1023, 767
    grid, placed, _ = padded(PATCH, width, height)
    geometry = Geometry(grid_message(grid, placed))
    covered = np.zeros((height, width))
    for tile in range(1, grid.rows * grid.cols + 1):
        for position in range(grid.tile_tokens):
            box = geometry.token(tile, position)
            covered[round(box.top) : round(box.bottom), round(box.left) : round(box.right)] += 1
    assert (covered == 1).all()
