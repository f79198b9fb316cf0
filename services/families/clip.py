"""CLIP's vision tower, which families and the relevance model have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from transformers import CLIPVisionModel
from transformers.activations import ACT2FN

from services.common.checkpoint import Checkpoint
from services.common.weights.load import load_pretrained
from services.common.weights.stored import StoredTensor
from services.families.attention import ATTENTION

T = TypeVar("T")

# No published model comes near; beyond it, making the layers alone would take for ever.
_MAX_LAYERS = 1000
# Positions are kept as uint16.
MAX_POSITIONS = 2**16


def check_clip(config: Any, source: Checkpoint) -> None:
    """What of a CLIP vision tower's config transformers doesn't check, or late.

    Raises:
        SettingError: there is no such tower, or it is none that is served.
    """
    check_layers(config, "vision_config", source)
    for key in ("image_size", "patch_size"):
        positive(config, key, "vision_config", source)
    if config.num_channels != 3:
        raise source.unusable(f"vision_config.num_channels of its config is {config.num_channels!r}; served is 3")
    side = config.image_size // config.patch_size
    if not 0 < side**2 <= MAX_POSITIONS:
        raise source.unusable(
            f"vision_config of its config has image_size {config.image_size} and patch_size {config.patch_size}, "
            f"{side} x {side} patches a tile; served are 1 to {MAX_POSITIONS}"
        )


def check_layers(config: Any, part: str, source: Checkpoint) -> None:
    """Of either of CLIP's towers; ``part`` is the name of its config.

    Raises:
        SettingError: no such layers can be made.
    """
    for key in ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"):
        positive(config, key, part, source)
    if config.num_hidden_layers > _MAX_LAYERS:
        raise source.unusable(
            f"{part}.num_hidden_layers of its config is {config.num_hidden_layers}; the limit is {_MAX_LAYERS}"
        )
    if config.hidden_size % config.num_attention_heads:
        raise source.unusable(
            f"{part}.hidden_size of its config, {config.hidden_size}, is no multiple of num_attention_heads, "
            f"{config.num_attention_heads}"
        )
    check_activation(config, "hidden_act", f"{part}.", source)
    epsilon = config.layer_norm_eps
    if not isinstance(epsilon, float | int) or not 0 <= epsilon < math.inf:
        raise source.unusable(f"{part}.layer_norm_eps of its config is {epsilon!r}; expected a number from 0 on")


def check_activation(config: Any, key: str, prefix: str, source: Checkpoint) -> None:
    """Raises:
    SettingError: transformers has no function of that name.
    """
    name = getattr(config, key)
    if not isinstance(name, str) or name not in ACT2FN:
        raise source.unusable(f"{prefix}{key} of its config is {name!r}; transformers has no activation of that name")


def positive(config: Any, key: str, part: str, source: Checkpoint) -> None:
    """Raises:
    SettingError: it is not a whole number above 0.
    """
    value = getattr(config, key, None)
    if type(value) is not int or value < 1:
        raise source.unusable(f"{part}.{key} of its config is {value!r}; expected a whole number above 0")


def open_clip(
    config: Any, weights: Mapping[str, StoredTensor], source: Checkpoint, device: torch.device, dtype: torch.dtype
) -> CLIPVisionModel:
    """A CLIP vision tower whose blocks can tell what CLS looks at.

    Raises:
        SettingError: the weights do not fit the config.
    """
    config._attn_implementation = ATTENTION
    tower: CLIPVisionModel = load_pretrained(CLIPVisionModel, config, weights, source, device, dtype)
    return tower


def clean(weights: Mapping[str, T]) -> dict[str, T]:
    """Without a buffer that older checkpoints store with their weights."""
    return {name: tensor for name, tensor in weights.items() if not name.endswith("position_ids")}


def arithmetic(config: Any) -> list[Any]:
    """What of a tower's config changes its outputs and is not seen in its weights."""
    return [config.hidden_act, config.layer_norm_eps, config.num_attention_heads]
