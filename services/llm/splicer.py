"""What makes an image's embeddings: the projector, the newline. No language model, no tower."""

from __future__ import annotations

import torch

from services.families.family import LanguageHalf


class Splicer:
    """These weights on a device.

    Args:
        half: of the checkpoint's family.
        device, dtype: to make embeddings on and in.

    Raises:
        SettingError: the checkpoint has no such weights.
    """

    def __init__(self, half: LanguageHalf, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self._projector = half.open_projector(device, dtype)

    @property
    def feature_width(self) -> int:
        """H, of the feature rows that the projector takes."""
        return self._projector.feature_width

    @property
    def newline(self) -> torch.Tensor:
        """Embedding of a newline token, [D]."""
        return self._projector.newline

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Feature rows [n, H] of any dtype to the language model's width, [n, D]."""
        return self._projector(features)
