"""What makes an InternVL's visual tokens out of feature rows: the projector."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.internvl.modeling_internvl import InternVLMultiModalProjector

from services.common.checkpoint import Checkpoint
from services.families.projector import MultiModalProjector


class InternVLProjector(MultiModalProjector):
    """A ``Projector``.

    Args:
        config: the checkpoint's.
        source: the checkpoint.
        device, dtype: to run on and in.
    """

    def __init__(self, config: Any, source: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(lambda: InternVLMultiModalProjector(config), source, device, dtype)
        # Rows of a picture are told by nothing here: no splice of this family asks for it.
        self.newline = torch.zeros(config.text_config.hidden_size, device=device, dtype=dtype)
