"""Bytes to what a tower sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD


def normalise(
    tiles: torch.Tensor, mean: Sequence[float] = OPENAI_CLIP_MEAN, deviation: Sequence[float] = OPENAI_CLIP_STD
) -> torch.Tensor:
    """uint8 [T, 3, s, s] to float32, of each colour with this mean and deviation; CLIP's where none is said."""
    middle, width = (torch.tensor(each, device=tiles.device).view(1, 3, 1, 1) for each in (mean, deviation))
    return (tiles.float() / 255 - middle) / width
