"""An explanation of a service that is broken, or worse, is refused in one line: at once, and by nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from PIL import Image

from heroserve import Explanation, Savings
from heroserve.errors import ArgumentError
from heroserve.v1.encoder_pb2 import Grid, Tile, TileExplanation
from tests.support.explained import GRID

TERMS = ("saliency", "relevance", "density")
ABSURD = 2**32 - 1


def of(change: Callable[[Grid, list[Tile]], object]) -> Explanation:
    grid = Grid()
    grid.CopyFrom(GRID)
    tiles = [Tile(index=0, valid=16, positions=[0, 5])]
    tiles += [
        Tile(index=index, valid=16, positions=[1, 2], importance=0.5, explanation=TileExplanation(saliency=1))
        for index in (1, 2)
    ]
    change(grid, tiles)
    return Explanation("", "?", grid, tuple(tiles), Savings(48, 6, 42))


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (100, 50)).save(file, "PNG")
    return file.getvalue()


def refused(explanation: Explanation, words: str) -> None:
    with pytest.raises(ArgumentError, match=r"^explanation: [^\n]+$") as told:
        explanation.draw(picture())
    assert words in str(told.value)


GRIDS: dict[str, tuple[dict[str, int], str]] = {
    "tiles too small for their tokens": ({"tile_size": 3}, "tile_size is 3, but 4 tokens of token_size 14 take 56"),
    "a tile of a pixel": ({"tile_size": 1}, "tile_size is 1"),
    "a pixel too small": ({"tile_size": 55}, "tile_size is 55"),
    "room for a token more": ({"tile_size": 70}, "tile_size is 70"),
    "tokens too small": ({"token_size": 11}, "token_size 11"),
    "tokens too large": ({"token_size": 15}, "token_size 15"),
    "absurd tokens": ({"token_size": ABSURD}, f"token_size {ABSURD}"),
    "more tokens than fill a tile": ({"patches_per_side": 5}, "5 tokens"),
    "fewer": ({"patches_per_side": 3}, "3 tokens"),
    **{f"absurd {name}": ({name: ABSURD}, "it may have") for name in ("tile_size", "patches_per_side", "rows", "cols")},
    "rows of nothing": ({"rows": ABSURD, "patches_per_side": 1, "token_size": 1, "tile_size": 1}, "it may have"),
}


@pytest.mark.parametrize("lie", GRIDS)
def test_sizes_of_a_grid_that_do_not_agree(lie: str) -> None:
    fields, words = GRIDS[lie]

    def change(grid: Grid, tiles: list[Tile]) -> None:
        for name, value in fields.items():
            setattr(grid, name, value)

    explanation = of(change)
    refused(explanation, words)
    # What is reckoned from it is nonsense too.
    with pytest.raises(ArgumentError):
        explanation.token_box(1, 0)


@pytest.mark.parametrize("name", ["placement", "window"])
@pytest.mark.parametrize("side", ["bottom", "right"])
@pytest.mark.parametrize("beyond", [1, ABSURD])
def test_an_image_beside_its_tiles(name: str, side: str, beyond: int) -> None:
    def change(grid: Grid, tiles: list[Tile]) -> None:
        window = getattr(grid, name)
        setattr(window, side, min(ABSURD, getattr(window, side) + beyond))

    refused(of(change), f"its grid's {name} is 0 to")


def test_a_placement_that_begins_where_it_ends_or_later() -> None:
    for left in (112, 113, ABSURD):
        refused(of(lambda grid, tiles, left=left: setattr(grid.placement, "left", left)), "that is nothing")
    refused(of(lambda grid, tiles: setattr(grid.window, "top", 5)), "its grid's window is 5 to 4")


@pytest.mark.parametrize("name", ["importance", *TERMS])
@pytest.mark.parametrize("value", [-0.1, -1e300, 1.1, 1e300, float("inf"), -float("inf"), float("nan")])
def test_shares_that_are_none(name: str, value: float) -> None:
    def change(grid: Grid, tiles: list[Tile]) -> None:
        setattr(tiles[2].explanation if name in TERMS else tiles[2], name, value)

    refused(of(change), f"tile 2 has {name} ")


TILES: dict[str, tuple[dict[str, int], list[int], str]] = {
    "not there": ({"index": 3}, [], "tile 3 is not there"),
    "far from there": ({"index": ABSURD}, [], f"tile {ABSURD} is not there"),
    "twice": ({"index": 1}, [], "tile 1 is told of twice"),
    "more than a tile holds": ({"valid": 17}, [], "17 valid"),
    "a position twice": ({}, [3, 3], "position 3 after 3"),
    "backwards": ({}, [5, 2], "position 2 after 5"),
    "beside the tile": ({}, [16], "position 16"),
}


@pytest.mark.parametrize("lie", TILES)
def test_tiles_that_the_grid_has_not(lie: str) -> None:
    fields, positions, words = TILES[lie]

    def change(grid: Grid, tiles: list[Tile]) -> None:
        tiles[2].positions[:] = positions
        for name, value in fields.items():
            setattr(tiles[2], name, value)

    refused(of(change), words)


@pytest.mark.parametrize("flops", [-1.0, float("inf"), float("nan")])
def test_savings_that_are_none(flops: float) -> None:
    explanation = of(lambda grid, tiles: None)
    refused(replace(explanation, savings=replace(explanation.savings, prefill_flops=flops)), "prefill_flops")


def test_what_is_true_is_drawn() -> None:
    assert of(lambda grid, tiles: None).draw(picture()).width > 1000
    # Tokens need not fill their tile to the last pixel.
    assert of(lambda grid, tiles: setattr(grid, "token_size", 12)).draw(picture()).width > 1000
