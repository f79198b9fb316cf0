"""The CLIP that compares tiles with questions: what is checked of it, and what it was trained with."""

from __future__ import annotations

from typing import Any

import torch

from services.common.checkpoint import Checkpoint
from services.common.weights import read_tensors


def clip_config(source: Checkpoint) -> Any:
    """The config of a whole CLIP model.

    Raises:
        SettingError: it is something else.
    """
    if source.config.model_type != "clip":
        raise source.unusable(f"expected a CLIP checkpoint, this is {source.config.model_type!r}")
    return source.config


def learned_temperature(source: Checkpoint) -> float:
    """1 / exp(``logit_scale``): what a CLIP's contrastive loss divides its cosines by.

    Raises:
        SettingError: it is no CLIP, or has no such weight.
    """
    clip_config(source)
    scale = read_tensors(source, lambda name: name if name == "logit_scale" else None)["logit_scale"]
    return float(torch.exp(-scale.double()))
