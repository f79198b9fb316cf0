"""Pixels, grids and paddings are Hugging Face's, bit for bit and patch for patch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel

from services.common.checkpoint import Checkpoint
from services.common.settings import SettingError
from services.encoder.tower import VisionTower
from services.families.family import CutError
from services.families.grid import Grid
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import edit_json
from tests.support.pictures import picture

SIDE, PATCH = 112, 14
N = (SIDE // PATCH) ** 2
# (rows, columns) of the grids to choose from.
GRIDS = {
    "untrained": ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3), (3, 2), (3, 3)),
    "llava-1.6": ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3)),
    "panoramas": ((1, 6), (6, 1), (2, 4), (4, 2), (3, 3)),
    "one tile": ((1, 1),),
}
SIZES = (
    *((112, 112), (224, 112), (336, 336)),  # whole tiles
    *((1, 1), (5, 3), (50, 80), (111, 113)),  # below a tile
    *((225, 111), (337, 335), (481, 641), (97, 401), (1023, 767), (333, 1000)),  # odd
    *((376, 47), (47, 376), (392, 49), (49, 392)),  # a product just below a whole number of patches
    *((4, 100), (100, 4), (1, 25), (25, 1), (2, 400), (700, 4)),  # no row of patches is left of some
    *((640, 480), (1200, 200), (200, 1200), (1201, 199), (199, 1201)),  # panoramas, 1:6 both ways
)


def tiler_of(grids: str, tile: int = SIDE) -> AnyresTiler:
    pinpoints = tuple((rows * tile, cols * tile) for rows, cols in GRIDS[grids])
    return AnyresTiler(tile_size=tile, patch_size=PATCH, pinpoints=pinpoints, resample=Image.Resampling.BICUBIC)


def packed(tiler: AnyresTiler, grid: Grid) -> list[int]:
    """What Hugging Face hands to the language model: tile * N + patch of every token, -1 for a newline."""
    vision = SimpleNamespace(image_size=tiler.tile_size, patch_size=tiler.patch_size)
    model = SimpleNamespace(config=SimpleNamespace(vision_config=vision, image_grid_pinpoints=list(tiler.pinpoints)))
    tiles = 1 + grid.rows * grid.cols
    tokens, lengths = LlavaNextModel.pack_image_features(
        model,
        [torch.arange(tiles * grid.tile_tokens).view(tiles, grid.tile_tokens, 1)],
        torch.tensor([[grid.height, grid.width]]),
        "default",
        image_newline=torch.tensor([-1]),
    )
    assert lengths.tolist() == [len(tokens[0])]
    return tokens[0].flatten().tolist()


def raster(grid: Grid) -> list[int]:
    """The same out of our masks: thumbnail, then the mosaic's rows with a newline after each that has image."""
    ids = np.arange((1 + grid.rows * grid.cols) * grid.tile_tokens).reshape(-1, grid.tile_tokens)
    valid = grid.valid()
    shape = (grid.rows, grid.cols, grid.side, grid.side)

    def mosaic(tiles: np.ndarray) -> np.ndarray:
        return tiles.reshape(shape).swapaxes(1, 2).reshape(grid.rows * grid.side, grid.cols * grid.side)

    tokens = ids[0][valid[0]].tolist()
    for row, mask in zip(mosaic(ids[1:]), mosaic(valid[1:]), strict=True):
        if mask.any() or grid.right == grid.left:
            tokens += [*row[mask].tolist(), -1]
    return tokens


@pytest.mark.parametrize("grids", GRIDS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pixels_and_tokens_are_hugging_faces(tower: VisionTower, grids: str, width: int, height: int) -> None:
    tiler = tiler_of(grids)
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=[list(pinpoint) for pinpoint in tiler.pinpoints],
    )
    image = picture(width, height)
    expected = processor(image, return_tensors="pt")["pixel_values"][0]

    grid = tiler.grid(width, height)
    tiles = tiler.cut(image, grid)

    assert tiles.dtype == np.uint8
    assert len(tiles) == 1 + grid.rows * grid.cols <= tiler.max_tiles
    assert torch.equal(tower._normalise(torch.from_numpy(tiles)), expected)
    assert raster(grid) == packed(tiler, grid)
    assert packed(tiler, grid).count(-1) == grid.bottom - grid.top


def test_published_tile_size(tower: VisionTower) -> None:
    tiler = tiler_of("llava-1.6", 336)
    image = picture(803, 599)
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
        image_grid_pinpoints=[list(pinpoint) for pinpoint in tiler.pinpoints],
    )
    grid = tiler.grid(803, 599)
    assert grid.tile_tokens == 576
    pixels = tower._normalise(torch.from_numpy(tiler.cut(image, grid)))
    assert torch.equal(pixels, processor(image, return_tensors="pt")["pixel_values"][0])
    assert raster(grid) == packed(tiler, grid)


edge = st.one_of(st.integers(1, 40), st.integers(1, 4000))


@settings(max_examples=250, deadline=None, derandomize=True)
@given(width=edge, height=edge, grids=st.sampled_from(sorted(GRIDS)))
def test_masks_of_any_size(width: int, height: int, grids: str) -> None:
    tiler = tiler_of(grids)
    if max(width / height, height / width) > 200:
        with pytest.raises(CutError, match="the limit is 200:1"):
            tiler.grid(width, height)
        return
    grid = tiler.grid(width, height)
    assert raster(grid) == packed(tiler, grid)
    assert (grid.bottom - grid.top) * (grid.right - grid.left) == grid.valid()[1:].sum() >= 0
    assert grid.valid()[0].all()


@pytest.mark.parametrize("grids", GRIDS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_where_an_image_lies(grids: str, width: int, height: int) -> None:
    """Of a white image all that is placed is white, and all around it black."""
    tiler = tiler_of(grids)
    grid = tiler.grid(width, height)
    placed = tiler.place(grid)
    tiles = tiler.cut(Image.new("RGB", (width, height), "white"), grid)[1:, 0]
    mosaic = tiles.reshape(grid.rows, grid.cols, SIDE, SIDE).swapaxes(1, 2).reshape(grid.rows * SIDE, -1)
    expected = np.zeros_like(mosaic)
    expected[placed.top : placed.bottom, placed.left : placed.right] = 255
    assert np.array_equal(mosaic, expected)
    assert (placed.tile_size, placed.token_size) == (SIDE, PATCH)


def test_reads_a_checkpoint(tiler: AnyresTiler) -> None:
    assert tiler == tiler_of("untrained")
    assert tiler.max_tiles == 10
    assert tiler.tokens_per_side == 8


def test_newer_checkpoints_nest_the_preprocessing(folder: Path, tiler: AnyresTiler) -> None:
    own = folder / "preprocessor_config.json"
    edit_json(own, lambda config: config.update(resample=2))
    (folder / "processor_config.json").write_text(f'{{"image_processor": {own.read_text()}}}')
    own.unlink()
    read = AnyresTiler.of(Checkpoint(str(folder), "HEROSERVE_MODEL"))
    assert read.resample == Image.Resampling.BILINEAR
    assert read.pinpoints == tiler.pinpoints


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"crop_size": {"height": 100, "width": 100}}, "100"),
        ({"size": {"shortest_edge": 224}}, "224"),
        ({"image_grid_pinpoints": [[112, 200]]}, "multiples of 112"),
        ({"image_grid_pinpoints": [[0, 112]]}, "multiples of 112"),
        ({"image_grid_pinpoints": []}, "multiples of 112"),
    ],
)
def test_preprocessing_that_does_not_fit(folder: Path, change: dict[str, object], told: str) -> None:
    edit_json(folder / "preprocessor_config.json", lambda config: config.update(change))
    with pytest.raises(SettingError, match="HEROSERVE_MODEL") as caught:
        AnyresTiler.of(Checkpoint(str(folder), "HEROSERVE_MODEL"))
    assert told in str(caught.value)
