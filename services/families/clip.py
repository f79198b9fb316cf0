"""CLIP's vision tower, which families and the relevance model have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import CLIPVisionModel

from services.common.checkpoint import Checkpoint
from services.common.weights import load
from services.families.attention import ATTENTION


def build_clip(config: Any, weights: Mapping[str, torch.Tensor], source: Checkpoint) -> CLIPVisionModel:
    """A CLIP vision tower in float32 whose blocks can tell what CLS looks at.

    Raises:
        SettingError: the weights do not fit the config.
    """
    config._attn_implementation = ATTENTION
    tower = CLIPVisionModel(config)
    load(tower, {name: tensor.float() for name, tensor in weights.items()}, source)
    return tower.eval()


def clean(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without a buffer that older checkpoints store with their weights."""
    return {name: tensor for name, tensor in weights.items() if not name.endswith("position_ids")}


def arithmetic(config: Any) -> list[Any]:
    """What of a tower's config changes its outputs and is not seen in its weights."""
    return [config.hidden_act, config.layer_norm_eps, config.num_attention_heads]
