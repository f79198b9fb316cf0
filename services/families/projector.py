"""What makes visual tokens out of feature rows, as Hugging Face's families have it: two linear layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from services.common.checkpoint import Checkpoint
from services.common.weights.load import load_module
from services.common.weights.stored import prefixed, stored_tensors

_PROJECTOR = prefixed("multi_modal_projector.", "model.multi_modal_projector.")


class MultiModalProjector:
    """A ``Projector`` but for its newline, which is its family's.

    Args:
        build: makes the family's module.
        source: the checkpoint.
        device, dtype: to run on and in.
    """

    def __init__(self, build: Callable[[], Any], source: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._module = load_module(build, stored_tensors(source, _PROJECTOR), source, device, dtype)

    @property
    def feature_width(self) -> int:
        return int(self._module.linear_1.in_features)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self._module(features.to(self._device, self._dtype))
        return projected
