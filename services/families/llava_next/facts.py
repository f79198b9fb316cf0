"""What is checked of a LLaVA-NeXT checkpoint before anything is loaded."""

from __future__ import annotations

from typing import Any

from services.common.checkpoint import Checkpoint


def checked_config(source: Checkpoint) -> Any:
    """The checkpoint's config, of a variant that is served.

    Raises:
        SettingError: it is of another.
    """
    config = source.config
    if config.vision_config.model_type != "clip_vision_model":
        raise source.unusable(f"expected a CLIP vision tower, this has {config.vision_config.model_type!r}")
    if config.vision_feature_select_strategy != "default":
        raise source.unusable("vision_feature_select_strategy must be 'default' (patches without CLS)")
    return config
