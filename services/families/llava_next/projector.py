"""What makes a LLaVA-NeXT's visual tokens out of feature rows: the projector, and the newline after each row."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.llava_next.modeling_llava_next import LlavaNextMultiModalProjector

from services.common.checkpoint import Checkpoint
from services.common.weights.load import load_tensor
from services.families.projector import MultiModalProjector


def _newline(name: str) -> str | None:
    return "image_newline" if name in ("image_newline", "model.image_newline") else None


class LlavaNextProjector(MultiModalProjector):
    """A ``Projector``.

    Args:
        config: the checkpoint's.
        source: the checkpoint.
        device, dtype: to run on and in.
    """

    def __init__(self, config: Any, source: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(lambda: LlavaNextMultiModalProjector(config), source, device, dtype)
        self.newline = load_tensor(source, _newline, (config.text_config.hidden_size,), device, dtype)
