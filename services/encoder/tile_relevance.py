"""CLIP embeddings of tiles, to be compared with a question's."""

from __future__ import annotations

from typing import Protocol

import torch
from transformers import CLIPVisionModel


class TileEmbedder(Protocol):
    """Embeds T tiles: bytes as float or uint8 [T, 3, s, s], and the tower's last CLS states [T, H].

    Returns float32 [T, D], unit.
    """

    def __call__(self, raw: torch.Tensor, cls: torch.Tensor) -> torch.Tensor: ...


class SharedRelevance:
    """The relevance model's tower is the tower itself: its CLS is projected, nothing is run twice."""

    def __init__(self, post_layernorm: torch.nn.Module, projection: torch.Tensor) -> None:
        self._post_layernorm = post_layernorm
        self._projection = projection

    def __call__(self, raw: torch.Tensor, cls: torch.Tensor) -> torch.Tensor:
        return _unit(self._post_layernorm(cls) @ self._projection.T)


class SeparateRelevance:
    """The original CLIP beside a fine-tuned tower; tiles are resized to what it was trained on."""

    def __init__(self, tower: CLIPVisionModel, projection: torch.Tensor, pixels: torch.Tensor) -> None:
        self._tower = tower
        self._projection = projection
        # Value 0 and the step to 1, a channel: resized tiles are no longer whole numbers.
        self._offset = pixels[:, :1, None]
        self._step = ((pixels[:, -1:] - pixels[:, :1]) / 255)[..., None]

    def __call__(self, raw: torch.Tensor, cls: torch.Tensor) -> torch.Tensor:
        size = self._tower.config.image_size
        tiles = raw.float()
        if tiles.shape[-1] != size:
            tiles = torch.nn.functional.interpolate(tiles, size=(size, size), mode="bicubic", antialias=True)
            tiles = tiles.round().clamp(0, 255)
        pixels = (tiles * self._step + self._offset).to(self._projection.dtype)
        return _unit(self._tower(pixels).pooler_output @ self._projection.T)


def _unit(embedding: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(embedding.float(), dim=-1)
