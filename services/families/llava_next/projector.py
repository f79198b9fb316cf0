"""What makes a LLaVA-NeXT's visual tokens out of feature rows: the projector, and the newline after each row."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.llava_next.modeling_llava_next import LlavaNextMultiModalProjector

from services.common.checkpoint import Checkpoint
from services.common.weights.load import load_module, load_tensor
from services.common.weights.stored import prefixed, stored_tensors

_PROJECTOR = prefixed("multi_modal_projector.", "model.multi_modal_projector.")


def _newline(name: str) -> str | None:
    return "image_newline" if name in ("image_newline", "model.image_newline") else None


class LlavaNextProjector:
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
            lambda: LlavaNextMultiModalProjector(config), stored_tensors(source, _PROJECTOR), source, device, dtype
        )
        self.newline = load_tensor(source, _newline, (config.text_config.hidden_size,), device, dtype)

    @property
    def feature_width(self) -> int:
        return int(self._module.linear_1.in_features)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self._module(features.to(self._device, self._dtype))
        return projected
