"""The vision tower as the encoder runs it: bytes of tiles in; features, CLS rows and CLIP embeddings out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from services.common.rows import RowDtype
from services.encoder.hero import HeroConfig
from services.encoder.relevance.tiles import TileEmbedder
from services.families.family import Tower, TowerPass


@dataclass(frozen=True)
class TowerOutput(TowerPass):
    """A pass over T tiles, its CLS rows those of ``HeroConfig.layers`` in order, and beside it

    Args:
        embedding: float32 [T, D], unit CLIP image embeddings; D = 0 without a relevance model.
    """

    embedding: torch.Tensor


class VisionTower:
    """A family's tower, and beside it the relevance model's where the two differ.

    Args:
        tower: the family's.
        pixels: what each byte becomes in each channel, float32 [3, 256].
        relevance: embeds tiles; None switches relevance off.
        hero: which layers are read.
        row_dtype: what rows are cached and sent in.
        device, dtype: the tower's.
        max_tiles: of one image.
        encoder_id: digest of everything that changes the rows.
    """

    def __init__(
        self,
        *,
        tower: Tower,
        pixels: torch.Tensor,
        relevance: TileEmbedder | None,
        hero: HeroConfig,
        row_dtype: RowDtype,
        device: torch.device,
        dtype: torch.dtype,
        max_tiles: int,
        encoder_id: str,
    ) -> None:
        self.hero = hero
        self.row_dtype = row_dtype
        self.device = device
        self.dtype = dtype
        self.max_tiles = max_tiles
        self.encoder_id = encoder_id
        self.feature_width = tower.feature_width
        self._tower = tower
        self._pixels = pixels.to(device)
        self._relevance = relevance

    @torch.inference_mode()
    def run(self, tiles: np.ndarray[Any, np.dtype[np.uint8]]) -> TowerOutput:
        """One pass over tiles of any number of images, uint8 [T, 3, size, size]."""
        raw = torch.from_numpy(tiles).to(self.device)
        seen = self._tower(self._normalise(raw), self.hero.layers)
        embedding = torch.zeros(len(raw), 0) if self._relevance is None else self._relevance(raw, seen.cls)
        return TowerOutput(seen.features, seen.cls_attention, seen.cls, embedding)

    def synchronize(self) -> None:
        """Wait for the accelerator; raises if it is lost."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _normalise(self, raw: torch.Tensor) -> torch.Tensor:
        """uint8 [T, 3, s, s] to the tower's dtype, by the table of exact float32 values."""
        channel = torch.arange(3, device=self.device).view(1, 3, 1, 1)
        return self._pixels[channel, raw.long()].to(self.dtype)
