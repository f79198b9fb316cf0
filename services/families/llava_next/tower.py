"""The CLIP vision tower of a LLaVA-NeXT checkpoint: one pass that also records the CLS rows HERO reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from transformers import CLIPVisionModel

from services.common.checkpoint import Checkpoint
from services.common.weights.stored import digest, prefixed, stored_tensors
from services.families.clip import arithmetic, clean, open_clip
from services.families.family import TowerPass
from services.families.llava_next.facts import feature_states

TOWER = prefixed(
    "vision_tower.vision_model.", "vision_tower.", "model.vision_tower.vision_model.", "model.vision_tower."
)


class LlavaNextTower:
    """Features are hidden states ``vision_feature_layer`` of the patches, side by side where there are several.

    Args:
        config: the checkpoint's.
        source: the checkpoint.
        device, dtype: to run on and in.
    """

    def __init__(self, config: Any, source: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._states = feature_states(config, source)
        self.feature_width: int = config.vision_config.hidden_size * len(self._states)
        self._config = config.vision_config
        self._weights = clean(stored_tensors(source, TOWER))
        self.clip: CLIPVisionModel | None = open_clip(self._config, self._weights, source, device, dtype)
        self._tower = self.clip

    @cached_property
    def identity(self) -> dict[str, Any]:
        # Of the weights as they are stored: they are read once more.
        return {
            "weights": digest(self._weights),
            "arithmetic": arithmetic(self._config),
            "states": self._states,
        }

    def __call__(self, pixels: torch.Tensor, layers: Sequence[int]) -> TowerPass:
        tower = self._tower
        hidden = tower.pre_layrnorm(tower.embeddings(pixels))
        kept: dict[int, torch.Tensor] = {}
        cls_rows: list[torch.Tensor] = []
        for index, block in enumerate(tower.encoder.layers):
            if index in self._states:
                kept[index] = hidden
            hidden = block(hidden, None, cls_rows=cls_rows if index in layers else None)
        kept[len(tower.encoder.layers)] = hidden
        features = torch.cat([kept[state][:, 1:] for state in self._states], dim=-1)
        return TowerPass(features, torch.stack(cls_rows), hidden[:, 0])
