"""What is checked of a LLaVA-NeXT checkpoint before anything is loaded."""

from __future__ import annotations

from typing import Any

from services.common.checkpoint import Checkpoint
from services.families.clip import check_activation, check_clip


def checked_config(source: Checkpoint) -> Any:
    """The checkpoint's config, of a variant that is served.

    Raises:
        SettingError: it is of another.
    """
    config = source.config
    if config.vision_config.model_type != "clip_vision_model":
        raise source.unusable(f"expected a CLIP vision tower, this has {config.vision_config.model_type!r}")
    check_clip(config.vision_config, source)
    if config.vision_feature_select_strategy != "default":
        raise source.unusable("vision_feature_select_strategy must be 'default' (patches without CLS)")
    feature_states(config, source)
    check_activation(config, "projector_hidden_act", "", source)
    return config


def feature_states(config: Any, source: Checkpoint) -> list[int]:
    """``vision_feature_layer``: which of the tower's hidden states are the features, each from 0 on.

    hidden_states[i] is the input of block i, and the last one the output of the last block.

    Raises:
        SettingError: the tower has no such states.
    """
    layers = config.vision_config.num_hidden_layers
    states = config.vision_feature_layer
    states = states if isinstance(states, list) else [states]
    if not states or any(type(state) is not int or not -layers - 1 <= state <= layers for state in states):
        raise source.unusable(
            f"vision_feature_layer of its config is {config.vision_feature_layer!r}; expected a layer, or a list of "
            f"them, from {-layers - 1} to {layers} (vision_config.num_hidden_layers is {layers})"
        )
    return [state % (layers + 1) for state in states]
