"""The CLIP that compares tiles with questions: what is checked of it, and what it was trained with."""

from __future__ import annotations

import math
from typing import Any

import torch

from services.common.checkpoint import Checkpoint
from services.common.model_type import checked_model_type
from services.common.weights.load import load_tensor
from services.common.weights.quantised import refuse_quantised
from services.families.clip import check_clip, check_layers, positive

# CLIP's own training stops at log(100), 4.6; below 0 all tiles would be as good as equally relevant.
_MAX_LOGIT_SCALE = 10


def clip_config(source: Checkpoint) -> Any:
    """The config of a whole CLIP model.

    Raises:
        SettingError: it is something else, or there is no such model.
    """
    checked_model_type(source, ("clip",), "expected a CLIP checkpoint")
    config = source.config
    refuse_quantised(source)
    check_clip(config.vision_config, source)
    check_layers(config.text_config, "text_config", source)
    for key in ("vocab_size", "max_position_embeddings"):
        positive(config.text_config, key, "text_config", source)
    end = config.text_config.eos_token_id
    if type(end) is not int:
        raise source.unusable(f"text_config.eos_token_id of its config is {end!r}; expected the id of a token")
    if type(config.projection_dim) is not int or config.projection_dim < 1:
        raise source.unusable(f"projection_dim of its config is {config.projection_dim!r}; expected one above 0")
    return config


def clip_tokenizer(source: Checkpoint) -> Any:
    """Its tokenizer, whose every token the model has an embedding for.

    Raises:
        SettingError: it has none, or one of another model.
    """
    tokenizer = source.tokenizer()
    embedded = clip_config(source).text_config.vocab_size
    if len(tokenizer) > embedded:
        raise source.unusable(
            f"its tokenizer has {len(tokenizer)} tokens, its config text_config.vocab_size {embedded}: "
            "the two are not of one model"
        )
    return tokenizer


def learned_temperature(source: Checkpoint) -> float:
    """1 / exp(``logit_scale``): what a CLIP's contrastive loss divides its cosines by.

    Raises:
        SettingError: it is no CLIP, or has no such weight, or one that can't have been learnt.
    """
    clip_config(source)
    scale = load_tensor(
        source, lambda name: name if name == "logit_scale" else None, (), torch.device("cpu"), torch.float64
    )
    value = float(scale)
    if not 0 <= value <= _MAX_LOGIT_SCALE:
        raise source.unusable(
            f"its logit_scale is {value:g}; expected a number from 0 to {_MAX_LOGIT_SCALE}, the logarithm of what "
            "cosines are multiplied with"
        )
    return math.exp(-value)
