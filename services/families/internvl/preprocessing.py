"""What is asked of an InternVL checkpoint's image processor: that what it makes of a picture are the tiles we cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from services.common.checkpoint import Checkpoint
from services.families.family import Tiler
from services.families.image_processor import faulty, image_processor
from services.families.preprocessing import MAX_TILES
from services.families.preprocessing import check_tiles as check_same_tiles


def dynamic_processor(source: Checkpoint) -> Any:
    """Raises:
    SettingError: its image processor is not of this family.
    """
    processor = image_processor(source)
    if not isinstance(processor, GotOcr2ImageProcessorPil):
        kind = type(processor).__name__.removesuffix("Pil")
        raise faulty(source, {"image_processor_type": kind}, "served is GotOcr2ImageProcessor")
    return processor


def limits_of(processor: Any, source: Checkpoint) -> tuple[int, int]:
    """The least and the greatest number of local tiles.

    Raises:
        SettingError: they are none.
    """
    told = {"min_patches": processor.min_patches, "max_patches": processor.max_patches}
    for name, value in told.items():
        if type(value) is not int or not 1 <= value <= MAX_TILES:
            raise faulty(source, {name: value}, f"expected a number of tiles, 1 to {MAX_TILES}")
    if processor.min_patches > processor.max_patches:
        raise faulty(source, told, "no number of tiles is both")
    return processor.min_patches, processor.max_patches


def check_tiles(tiler: Tiler, processor: Any, source: Checkpoint) -> None:
    """Have a picture cut by transformers as its InternVLProcessor does, and by us.

    Raises:
        SettingError: the image processor makes other tiles.
    """
    size, edge = processor.size, tiler.tile_size
    if size is None or any(size.get(name) != edge for name in ("height", "width")):
        raise faulty(source, {"size": size}, f"the tower takes {edge} pixels, its image_size")

    def make(picture: Image.Image) -> Any:
        # Whatever the file says of crop_to_patches: InternVL's processor always asks for it.
        asked = {"crop_to_patches": True, "do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        # There the thumbnail comes last.
        return np.roll(processor(picture, **asked)["pixel_values"], 1, axis=0)

    check_same_tiles(tiler, processor, source, make)
