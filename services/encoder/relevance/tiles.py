"""CLIP embeddings of tiles, to be compared with a question's."""

from __future__ import annotations

from typing import Protocol

import torch
from transformers import CLIPVisionModel

from services.common.checkpoint import Checkpoint
from services.common.weights.load import META, load_module
from services.common.weights.stored import StoredTensor, digest, prefixed, stored_tensors
from services.encoder.identity import identity
from services.encoder.images.pixels import pixel_table
from services.encoder.relevance.clip import clip_config
from services.encoder.relevance.preprocessing import Filter, tile_filter
from services.families.clip import arithmetic, clean, open_clip

_CLIP_VISION = prefixed("vision_model.")
_PROJECTION = prefixed("visual_projection.")


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

    def __init__(
        self, tower: CLIPVisionModel, projection: torch.Tensor, pixels: torch.Tensor, resample: Filter
    ) -> None:
        self._tower = tower
        self._projection = projection
        self._filter = resample
        # Value 0 and the step to 1, a channel: resized tiles are no longer whole numbers.
        self._offset = pixels[:, :1, None]
        self._step = ((pixels[:, -1:] - pixels[:, :1]) / 255)[..., None]

    def __call__(self, raw: torch.Tensor, cls: torch.Tensor) -> torch.Tensor:
        size = self._tower.config.image_size
        tiles = raw.float()
        if tiles.shape[-1] != size:
            tiles = torch.nn.functional.interpolate(tiles, size=(size, size), mode=self._filter, antialias=True)
            tiles = tiles.round().clamp(0, 255)
        pixels = (tiles * self._step + self._offset).to(self._projection.dtype)
        return _unit(self._tower(pixels).pooler_output @ self._projection.T)


def open_tile_embedder(
    source: Checkpoint,
    clip: CLIPVisionModel | None,
    seen: torch.Tensor,
    tile_size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[TileEmbedder, str]:
    """What embeds tiles by a CLIP checkpoint, and the identity of its embeddings.

    Args:
        source: the relevance model.
        clip: the tower of the model itself, where that is a CLIP: if this one has the same weights and is to see the
            same, its pass is shared.
        seen: what the model's tower sees of each byte, float32 [3, 256].
        tile_size: side of a tile in pixels.
        device, dtype: to run on and in.

    Raises:
        SettingError: it is no CLIP, has no such weights, or wants its images otherwise.
    """
    config = clip_config(source)
    resample = tile_filter(source, tile_size, config.vision_config.image_size)
    weights = clean(stored_tensors(source, _CLIP_VISION))
    projection = _open_projection(source, device, dtype)
    pixels = pixel_table(source)
    embedder_id = identity(
        {
            "weights": digest(weights | {"visual_projection": projection.cpu()}),
            "arithmetic": arithmetic(config.vision_config),
            "pixels": pixels.tolist(),
            "filter": resample,
        }
    )
    alike = (
        clip is not None
        and config.vision_config.image_size == tile_size
        and torch.equal(pixels, seen)
        and arithmetic(config.vision_config) == arithmetic(clip.config)
    )
    if clip is not None and alike and _same(weights, clip):
        return SharedRelevance(clip.post_layernorm, projection), embedder_id
    tower = open_clip(config.vision_config, weights, source, device, dtype)
    return SeparateRelevance(tower, projection, pixels.to(device), resample), embedder_id


def check_tile_embedder(source: Checkpoint) -> None:
    """What can be told of it without its weights' bytes.

    Raises:
        SettingError: it is no CLIP, or has no such weights.
    """
    config = clip_config(source)
    open_clip(config.vision_config, clean(stored_tensors(source, _CLIP_VISION)), source, META, torch.float32)
    _open_projection(source, META, torch.float32)


def _open_projection(source: Checkpoint, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """[D, H]."""
    config = source.config

    def build() -> torch.nn.Linear:
        return torch.nn.Linear(config.vision_config.hidden_size, config.projection_dim, bias=False)

    return load_module(build, stored_tensors(source, _PROJECTION), source, device, dtype).weight.detach()


def _same(weights: dict[str, StoredTensor], clip: CLIPVisionModel) -> bool:
    """Whether these stored weights, in the tower's dtype, are the tower's own."""
    own = clip.state_dict()
    return weights.keys() == own.keys() and all(
        weights[name].shape == tensor.shape and torch.equal(weights[name].read().to(tensor.dtype), tensor.cpu())
        for name, tensor in own.items()
    )


def _unit(embedding: torch.Tensor) -> torch.Tensor:
    """Not a number where its length overflows: zeros would be taken for an embedding."""
    embedding = embedding.float()
    finite = embedding.norm(dim=-1, keepdim=True).isfinite()
    return torch.nn.functional.normalize(embedding, dim=-1).where(finite, torch.nan)
