"""What makes an InternVL's visual tokens out of feature rows: the projector."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector

from services.common.checkpoint import Checkpoint
from services.common.weights.load import load_module
from services.common.weights.stored import prefixed, stored_tensors

_PROJECTOR = prefixed("multi_modal_projector.", "model.multi_modal_projector.")


class InternVLProjector:
    """A ``Projector``.

    Args:
        config: the checkpoint's.
        source: the checkpoint.
        device, dtype: to run on and in.
    """

    def __init__(self, config: Any, source: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._module = load_module(
            lambda: InternVLMultiModalProjector(config), stored_tensors(source, _PROJECTOR), source, device, dtype
        )
        # Rows of a picture are told by nothing here: no splice of this family asks for it.
        self.newline = torch.zeros(config.text_config.hidden_size, device=device, dtype=dtype)

    @property
    def feature_width(self) -> int:
        return int(self._module.linear_1.in_features)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self._module(features.to(self._device, self._dtype))
        return projected
