"""What is checked of an InternVL checkpoint before anything is loaded."""

from __future__ import annotations

from typing import Any

from services.common.checkpoint import Checkpoint
from services.families.clip import MAX_POSITIONS, check_activation, check_layers, positive

_NORMS = ("layer_norm", "rms_norm")


def checked_config(source: Checkpoint) -> Any:
    """The checkpoint's config, of a variant that is served.

    Raises:
        SettingError: it is of another.
    """
    config = source.config
    vision = config.vision_config
    if vision.model_type != "internvl_vision":
        raise source.unusable(f"expected an InternViT vision tower, this has {vision.model_type!r}")
    check_layers(vision, "vision_config", source)
    positive(vision, "num_channels", "vision_config", source)
    if vision.num_channels != 3:
        raise source.unusable(f"vision_config.num_channels of its config is {vision.num_channels}; served is 3")
    dropped = vision.hidden_dropout_prob
    # Nothing is dropped here, but torch looks at it all the same.
    if type(dropped) not in (int, float) or not 0 <= dropped <= 1:
        raise source.unusable(
            f"vision_config.hidden_dropout_prob of its config is {dropped!r}; expected a share, 0 to 1"
        )
    if vision.norm_type not in _NORMS:
        raise source.unusable(
            f"vision_config.norm_type of its config is {vision.norm_type!r}; served are {', '.join(_NORMS)}"
        )
    if config.vision_feature_select_strategy != "default":
        raise source.unusable("vision_feature_select_strategy must be 'default' (patches without CLS)")
    tokens_per_side(config, source)
    feature_state(config, source)
    check_activation(config, "projector_hidden_act", "", source)
    return config


def edge_of(config: Any, key: str, source: Checkpoint) -> int:
    """``image_size`` or ``patch_size`` of the tower, in pixels.

    Raises:
        SettingError: it is none, or no square's.
    """
    value = getattr(config.vision_config, key)
    # transformers makes a pair of a number.
    if not all(type(edge) is int and edge > 0 for edge in value) or len(value) != 2 or value[0] != value[1]:
        raise source.unusable(
            f"vision_config.{key} of its config is {list(value)!r}; served are squares, their side above 0"
        )
    return int(value[0])


def patches_per_token(config: Any, source: Checkpoint) -> int:
    """Along a side: 1 / ``downsample_ratio``.

    Raises:
        SettingError: the ratio is none that patches can be merged by.
    """
    ratio = config.downsample_ratio
    # Of a power of two alone 1 / ratio, and what is multiplied with it, is exact.
    for merged in (1, 2, 4, 8):
        if isinstance(ratio, float | int) and ratio * merged == 1:
            return merged
    raise source.unusable(f"downsample_ratio of its config is {ratio!r}; served are 1, 0.5, 0.25 and 0.125")


def tokens_per_side(config: Any, source: Checkpoint) -> int:
    """Of a tile.

    Raises:
        SettingError: its patches don't make whole tokens, or too many.
    """
    image, patch = edge_of(config, "image_size", source), edge_of(config, "patch_size", source)
    merged, side = patches_per_token(config, source), image // patch
    if not 0 < side**2 <= MAX_POSITIONS:
        raise source.unusable(
            f"vision_config of its config has image_size {image} and patch_size {patch}, {side} x {side} patches a "
            f"tile; served are 1 to {MAX_POSITIONS}"
        )
    if side % merged:
        raise source.unusable(
            f"its config has {side} patches along a side of a tile (vision_config.image_size {image} by patch_size "
            f"{patch}), of which downsample_ratio {config.downsample_ratio} makes no whole tokens"
        )
    return side // merged


def feature_state(config: Any, source: Checkpoint) -> int:
    """``vision_feature_layer``: which of the tower's hidden states is the features, from 0 on; -1 is what it puts out.

    hidden_states[i] is the input of block i; the tower's output is that of the last block, normed where it has a norm.

    Raises:
        SettingError: the tower has no such state.
    """
    layers, state = config.vision_config.num_hidden_layers, config.vision_feature_layer
    if type(state) is not int or not -layers - 1 <= state <= layers:
        raise source.unusable(
            f"vision_feature_layer of its config is {state!r}; expected one layer, from {-layers - 1} to {layers} "
            f"(vision_config.num_hidden_layers is {layers})"
        )
    return -1 if state == -1 else state % (layers + 1)
