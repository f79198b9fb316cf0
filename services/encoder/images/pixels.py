"""What the bytes of a tile become before a tower sees them."""

from __future__ import annotations

import numpy as np
import torch

from services.common.checkpoint import Checkpoint


def pixel_table(source: Checkpoint) -> torch.Tensor:
    """What each byte becomes in each channel, float32 [3, 256], by the arithmetic of the image processor.

    A table, because the tower's device need not round as NumPy does.

    Raises:
        SettingError: the checkpoint does not say how its images are normalised.
    """
    processor = source.preprocessor_config()
    if "image_mean" not in processor or "image_std" not in processor:
        raise source.unusable("its preprocessor config has no image_mean and image_std")
    scaled = (np.arange(256).astype(np.float64) * processor.get("rescale_factor", 1 / 255)).astype(np.float32)
    mean = np.array(processor["image_mean"], np.float32)
    std = np.array(processor["image_std"], np.float32)
    return torch.from_numpy((scaled[None] - mean[:, None]) / std[:, None])
