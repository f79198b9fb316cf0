"""What is asked of a relevance model's image processor: that tiles can be prepared as it says."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

from services.common.checkpoint import Checkpoint
from services.families.image_processor import FAULTS, check_sizes, faulty, image_processor, resizing, tile_by_tile

# The word for a filter of Pillow's in ``torch.nn.functional.interpolate``.
Filter = Literal["bicubic", "bilinear"]
_FILTERS: dict[int, Filter] = {Image.Resampling.BICUBIC: "bicubic", Image.Resampling.BILINEAR: "bilinear"}


def tile_filter(source: Checkpoint, tile_size: int, image_size: int) -> Filter:
    """By which filter tiles become pictures of the relevance model's.

    Args:
        source: the relevance model.
        tile_size: side of a tile in pixels.
        image_size: side of what the relevance model's tower takes.

    Raises:
        SettingError: its image processor makes something else of a tile.
    """
    processor = image_processor(source)
    if not tile_by_tile(processor):
        kind = type(processor).__name__.removesuffix("Pil")
        raise faulty(source, {"image_processor_type": kind}, "served is CLIPImageProcessor")
    check_sizes(processor, image_size, source)
    resized = tile_size != image_size
    if resized and not processor.do_resize:
        raise faulty(
            source, {"do_resize": processor.do_resize}, f"tiles of {tile_size} pixels must become {image_size}"
        )
    if resized and not (isinstance(processor.resample, int) and processor.resample in _FILTERS):
        raise faulty(source, {"resample": processor.resample}, "served are 2 (BILINEAR) and 3 (BICUBIC)")
    tile = np.zeros((3, tile_size, tile_size), np.uint8)
    try:
        if processor.do_resize:
            tile = processor.resize(tile, processor.size, processor.resample)
        # Never what is larger or smaller: that would cut away, or pad.
        cropped = processor.center_crop(tile, processor.crop_size) if processor.do_center_crop else tile
    except FAULTS as error:
        raise faulty(source, resizing(processor), error) from error
    if not tile.shape == cropped.shape == (3, image_size, image_size):
        raise faulty(
            source,
            resizing(processor),
            f"a tile is resized to {list(tile.shape[1:])} and cropped to {list(cropped.shape[1:])}; "
            f"the tower takes {image_size} pixels",
        )
    return _FILTERS[processor.resample] if resized else "bicubic"
