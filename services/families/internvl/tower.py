"""The InternViT tower of an InternVL checkpoint: one pass that also records the CLS rows HERO reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from transformers import CLIPVisionModel
from transformers.models.internvl.modeling_internvl import InternVLVisionModel

from services.common.checkpoint import Checkpoint
from services.common.weights.load import load_pretrained
from services.common.weights.stored import digest, prefixed, stored_tensors
from services.families.attention import ATTENTION
from services.families.family import TowerPass
from services.families.internvl.facts import feature_state, patches_per_token, tokens_per_side

TOWER = prefixed("vision_tower.", "model.vision_tower.")


class InternVLTower:
    """A row is the patches of a token side by side, as pixel shuffle puts them and the projector takes them.

    Args:
        config: the checkpoint's.
        source: the checkpoint.
        device, dtype: to run on and in.
    """

    clip: CLIPVisionModel | None = None

    def __init__(self, config: Any, source: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._state = feature_state(config, source)
        self._merged = patches_per_token(config, source)
        self._side = tokens_per_side(config, source)
        self._config = config.vision_config
        self.feature_width: int = self._config.hidden_size * self._merged**2
        self._config._attn_implementation = ATTENTION
        self._weights = stored_tensors(source, TOWER)
        self._tower = load_pretrained(InternVLVisionModel, self._config, self._weights, source, device, dtype)

    @cached_property
    def identity(self) -> dict[str, Any]:
        # Of the weights as they are stored: they are read once more.
        names = ("hidden_act", "layer_norm_eps", "norm_type", "num_attention_heads")
        return {
            "weights": digest(self._weights),
            "arithmetic": [getattr(self._config, name) for name in names],
            "states": [self._state],
            "merged": self._merged,
        }

    def __call__(self, pixels: torch.Tensor, layers: Sequence[int]) -> TowerPass:
        blocks = self._tower.encoder.layer
        hidden = self._tower.embeddings(pixels)
        features = hidden
        cls_rows: list[torch.Tensor] = []
        for index, block in enumerate(blocks):
            if index == self._state:
                features = hidden
            hidden = _run(block, hidden, cls_rows if index in layers else None)
        if self._state == len(blocks):
            features = hidden
        elif self._state == -1:
            features = self._tower.layernorm(hidden)
        patches = features[:, 1:]
        # What CLS looks at is added up over the patches of a token.
        attention = merge(torch.stack(cls_rows)[..., None], self._side, self._merged).sum(dim=-1)
        return TowerPass(merge(patches, self._side, self._merged), attention, hidden[:, 0])


def merge(patches: torch.Tensor, side: int, merged: int) -> torch.Tensor:
    """Values of patches [..., N merged^2, C] to those of tokens [..., N, merged^2 C], both in raster order.

    Args:
        patches: of a tile.
        side: tokens along a side of it.
        merged: patches along a side of a token.
    """
    *outer, _, _ = patches.shape
    blocks = patches.reshape(*outer, side, merged, side, merged, -1).transpose(-4, -3)
    return blocks.reshape(*outer, side**2, -1)


def _run(block: Any, hidden: torch.Tensor, cls_rows: list[torch.Tensor] | None) -> torch.Tensor:
    """What a block does when it is called, by its own parts: it hands no list on to its attention, which takes one."""
    attended, _ = block.attention(block.layernorm_before(hidden), cls_rows=cls_rows)
    hidden = block.lambda_1 * attended + hidden
    new: torch.Tensor = block.lambda_2 * block.mlp(block.layernorm_after(hidden))
    return new + hidden
