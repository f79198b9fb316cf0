"""LLaVA-NeXT "anyres" tiling: which tiles an image becomes, and which of their tokens are image.

Pixels, grids and paddings are those of Hugging Face's LlavaNextImageProcessor and ``unpad_image``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from transformers.image_processing_utils import select_best_resolution

from services.common.checkpoint import Checkpoint
from services.families.family import CutError
from services.families.grid import Grid, Placement
from services.families.llava_next.cutter import AnyresCutter
from services.families.llava_next.facts import checked_config
from services.families.llava_next.preprocessing import anyres_processor, check_tiles, pinpoints_of
from services.families.preprocessing import resampling_of

# Hugging Face's image processors that have a limit have this one.
MAX_ASPECT = 200


@dataclass(frozen=True)
class AnyresTiler:
    """How a checkpoint wants its images cut. A token is a patch here.

    Args:
        tile_size: side of a tile in pixels.
        patch_size: side of a patch in pixels.
        pinpoints: (height, width) of the resolutions to choose from.
        resample: Pillow's resampling filter.
    """

    tile_size: int
    patch_size: int
    pinpoints: tuple[tuple[int, int], ...]
    resample: int

    @property
    def tokens_per_side(self) -> int:
        return self.tile_size // self.patch_size

    @property
    def max_tiles(self) -> int:
        return 1 + max(h * w for h, w in self.pinpoints) // self.tile_size**2

    @property
    def identity(self) -> list[Any]:
        return [self.tile_size, self.patch_size, self.pinpoints, self.resample]

    @classmethod
    def of(cls, source: Checkpoint) -> AnyresTiler:
        """Read from the model's config and image processor.

        Raises:
            SettingError: the two do not agree, or ask for tiles that are not served.
        """
        config = checked_config(source)
        processor = anyres_processor(source)
        tiler = cls(
            tile_size=config.vision_config.image_size,
            patch_size=config.vision_config.patch_size,
            pinpoints=pinpoints_of(processor, config, source),
            resample=resampling_of(processor, source),
        )
        check_tiles(tiler, processor, source)
        return tiler

    def grid(self, width: int, height: int) -> Grid:
        """The grid an image of this size becomes.

        Of a thin one the window may be empty, as with Hugging Face: then its thumbnail is all there is.

        Raises:
            CutError: so long and thin that there would be nothing to see in a thumbnail either.
        """
        aspect = max(width / height, height / width)
        if aspect > MAX_ASPECT:
            raise CutError(
                f"is {width}x{height} pixels, an aspect ratio of {round(aspect, 1):g}:1; the limit is {MAX_ASPECT}:1"
            )
        best_height, best_width = select_best_resolution((height, width), list(self.pinpoints))
        rows, cols = best_height // self.tile_size, best_width // self.tile_size
        side = self.tokens_per_side
        high, wide = rows * side, cols * side
        top = left = 0
        # Rounded as unpad_image does, so that the same rows are cut off.
        if width / height > wide / high:
            top = (high - int(round(height * (wide / width), 7))) // 2
        else:
            left = (wide - int(round(width * (high / height), 7))) // 2
        return Grid(width, height, rows, cols, side, top, high - top, left, wide - left)

    def place(self, grid: Grid) -> Placement:
        """Where ``cutter`` puts an image of this grid."""
        left, top, width, height = self.cutter.fit(grid)
        return Placement(self.tile_size, self.patch_size, top, top + height, left, left + width)

    @property
    def cutter(self) -> AnyresCutter:
        return AnyresCutter(self.tile_size, self.resample)

    def cut(self, image: Image.Image, grid: Grid) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The thumbnail and the local tiles in raster order, uint8 [1 + K, 3, tile_size, tile_size]."""
        return self.cutter(image, grid)
