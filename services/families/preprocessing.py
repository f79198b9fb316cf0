"""Whether the tiles that a checkpoint's image processor makes are the tiles that are cut here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from services.common.checkpoint import Checkpoint
from services.families.family import Tiler
from services.families.image_processor import FAULTS, faulty, resizing

# Ten times what any published checkpoint has; what a mosaic takes in memory grows with it.
MAX_TILES = 256


def resampling_of(processor: Any, source: Checkpoint) -> Image.Resampling:
    """Raises:
    SettingError: Pillow has no such filter.
    """
    resample = processor.resample
    if resample is None and not processor.do_resize:
        return Image.Resampling.BILINEAR  # transformers' own choice; with do_resize it refuses
    if not isinstance(resample, int) or resample not in set(Image.Resampling):
        known = ", ".join(f"{int(kind)} ({kind.name})" for kind in sorted(Image.Resampling))
        raise faulty(source, {"resample": resample}, f"expected one of {known}")
    return Image.Resampling(resample)


def check_tiles(tiler: Tiler, processor: Any, source: Checkpoint, make: Callable[[Image.Image], Any]) -> None:
    """Have a picture cut by transformers, and by us.

    Args:
        tiler: ours.
        processor: of which ``make`` is a call.
        source: the checkpoint.
        make: what transformers cuts of a picture, the thumbnail first, without rescaling and normalising.

    Raises:
        SettingError: the image processor makes other tiles.
    """
    # Values after each other, so that no two filters or cuts give the same.
    picture = Image.fromarray((np.arange(31 * 41 * 3) * 7 % 251).astype(np.uint8).reshape(31, 41, 3))
    try:
        made = make(picture)
    except FAULTS as error:
        raise faulty(source, resizing(processor), error) from error
    own = tiler.cut(picture, tiler.grid(*picture.size))
    if not np.array_equal(own, made):
        problem = "transformers makes other tiles of it than are served"
        if own.shape != made.shape:
            problem = f"{problem}, {list(made.shape)} in place of {list(own.shape)}"
        raise faulty(source, resizing(processor), problem)
