"""The vision half of InternVL: tiles and tower."""

from __future__ import annotations

from functools import cached_property

import torch

from services.common.checkpoint import Checkpoint
from services.common.weights.stored import main_dtype, stored_tensors
from services.families.internvl.facts import checked_config
from services.families.internvl.tiles import DynamicTiler
from services.families.internvl.tower import TOWER, InternVLTower


class InternVLVision:
    """A ``VisionHalf``."""

    def __init__(self, source: Checkpoint) -> None:
        self._source = source
        self._config = checked_config(source)
        self.layers: int = self._config.vision_config.num_hidden_layers
        self.width: int = self._config.vision_config.hidden_size

    @cached_property
    def tiler(self) -> DynamicTiler:
        return DynamicTiler.of(self._source)

    @property
    def stored_dtype(self) -> torch.dtype:
        return main_dtype(stored_tensors(self._source, TOWER))

    def open_tower(self, device: torch.device, dtype: torch.dtype) -> InternVLTower:
        return InternVLTower(self._config, self._source, device, dtype)


open_half = InternVLVision
