"""What the bytes of a tile become before a tower sees them."""

from __future__ import annotations

from numbers import Real

import numpy as np
import torch

from services.common.checkpoint import Checkpoint
from services.families.image_processor import FAULTS, faulty, image_processor


def pixel_table(source: Checkpoint) -> torch.Tensor:
    """What each byte becomes in each channel, float32 [3, 256], by the image processor's own arithmetic.

    A table, because the tower's device need not round as NumPy does.

    Raises:
        SettingError: the checkpoint does not say how its images are normalised, or so that nothing is left of them.
    """
    processor = image_processor(source)
    pixels = np.ascontiguousarray(np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256)))
    with np.errstate(all="ignore"):
        if processor.do_rescale:
            scale = {"rescale_factor": processor.rescale_factor}
            if not isinstance(processor.rescale_factor, Real):
                raise faulty(source, scale, "expected a number")
            try:
                pixels = processor.rescale(pixels, processor.rescale_factor)
            except OverflowError as error:
                raise faulty(source, scale, error) from error
            if not np.isfinite(pixels).all():
                raise faulty(source, scale, "pixels are not finite")
        if processor.do_normalize:
            parameters = {"image_mean": processor.image_mean, "image_std": processor.image_std}
            for name, value in parameters.items():
                if value is None:
                    raise faulty(source, {name: value}, "there is nothing to normalise by, and do_normalize is on")
            try:
                pixels = processor.normalize(pixels, processor.image_mean, processor.image_std)
            except FAULTS as error:
                raise faulty(source, parameters, error) from error
            if pixels.shape != (3, 1, 256):
                raise faulty(source, parameters, "expected a number, or one a channel")
            if not np.isfinite(pixels).all():
                raise faulty(source, parameters, "pixels are not finite")
    return torch.from_numpy(pixels[:, 0].astype(np.float32))
