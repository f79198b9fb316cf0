"""What is asked of a LLaVA-NeXT checkpoint's image processor: that what it makes of a picture are the tiles we cut."""

from __future__ import annotations

from typing import Any

from PIL import Image
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from services.common.checkpoint import Checkpoint
from services.families.family import Tiler
from services.families.image_processor import check_sizes, faulty, image_processor
from services.families.preprocessing import MAX_TILES
from services.families.preprocessing import check_tiles as check_same_tiles


def anyres_processor(source: Checkpoint) -> Any:
    """Raises:
    SettingError: its image processor is not of this family.
    """
    processor = image_processor(source)
    if not isinstance(processor, LlavaNextImageProcessorPil):
        kind = type(processor).__name__.removesuffix("Pil")
        raise faulty(source, {"image_processor_type": kind}, "served is LlavaNextImageProcessor")
    return processor


def pinpoints_of(processor: Any, config: Any, source: Checkpoint) -> tuple[tuple[int, int], ...]:
    """(height, width) in pixels of the resolutions to choose from, in order: of equally good ones the first is taken.

    Raises:
        SettingError: they are none, or not of whole tiles, or others than the model takes tokens for.
    """
    told = {"image_grid_pinpoints": processor.image_grid_pinpoints}
    tile = config.vision_config.image_size
    if not _pairs(processor.image_grid_pinpoints):
        raise faulty(source, told, f"expected a list of [height, width] in pixels, multiples of {tile}")
    pinpoints = tuple((height, width) for height, width in processor.image_grid_pinpoints)
    if any(edge <= 0 or edge % tile for pinpoint in pinpoints for edge in pinpoint):
        raise faulty(source, told, f"they must be multiples of {tile}, the tower's image_size")
    if max(height * width for height, width in pinpoints) > MAX_TILES * tile**2:
        raise faulty(source, told, f"the limit is {MAX_TILES} tiles of {tile} pixels")
    if config.image_grid_pinpoints != [list(pinpoint) for pinpoint in pinpoints]:
        raise source.unusable(
            f"image_grid_pinpoints of its config, {config.image_grid_pinpoints}, "
            f"are not those of its image processor, {[list(pinpoint) for pinpoint in pinpoints]}"
        )
    return pinpoints


def check_tiles(tiler: Tiler, processor: Any, source: Checkpoint) -> None:
    """Have a picture cut by transformers, and by us.

    Raises:
        SettingError: the image processor makes other tiles.
    """
    check_sizes(processor, tiler.tile_size, source)

    def make(picture: Image.Image) -> Any:
        return processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]

    check_same_tiles(tiler, processor, source, make)


def _pairs(value: Any) -> bool:
    return (
        isinstance(value, list)
        and value != []
        and all(isinstance(pair, list | tuple) and [type(edge) for edge in pair] == [int, int] for pair in value)
    )
