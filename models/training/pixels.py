"""Bytes to what a tower sees: CLIP's own mean and deviation."""

from __future__ import annotations

import torch
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

_MEAN = torch.tensor(OPENAI_CLIP_MEAN).view(1, 3, 1, 1)
_STD = torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1)


def normalise(tiles: torch.Tensor) -> torch.Tensor:
    """uint8 [T, 3, s, s] to float32."""
    return (tiles.float() / 255 - _MEAN.to(tiles.device)) / _STD.to(tiles.device)
