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
        table = torch.from_numpy(pixels[:, 0].astype(np.float32))
    problem = _lost(table)
    if problem:
        used = {"rescale_factor": processor.do_rescale, "image_mean": processor.do_normalize}
        used["image_std"] = processor.do_normalize
        raise faulty(source, {name: getattr(processor, name) for name, on in used.items() if on}, problem)
    return table


def _lost(table: torch.Tensor) -> str:
    """What a tower would not see of a picture; "" if nothing."""
    if not table.isfinite().all():
        return "pixels are not finite"
    # Half precision has the narrowest range of what a tower may run in.
    half = table.half()
    if (half.amin(1) == half.amax(1)).any():
        return "every pixel becomes the same"
    if any(len(channel.unique()) < channel.numel() for channel in table):
        return "different pixels become the same"
    return ""
