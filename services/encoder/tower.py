"""The CLIP vision tower: one batched pass that also records the CLS rows HERO reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import CLIPVisionModel

from services.common import checkpoint as checkpoints
from services.common.checkpoint import Checkpoint, prefixed
from services.encoder.attention import ATTENTION
from services.encoder.hero import HeroConfig
from services.encoder.pixels import pixel_table
from services.encoder.relevance import clip_config, learned_temperature
from services.encoder.settings import EncoderSettings
from services.encoder.tile_relevance import SeparateRelevance, SharedRelevance, TileEmbedder
from services.encoder.tiling import Tiler

# Part of the encoder's identity: raise it when rows or entries change their meaning.
SCHEMA = 1
_TOWER = prefixed(
    "vision_tower.vision_model.", "vision_tower.", "model.vision_tower.vision_model.", "model.vision_tower."
)
_CLIP_VISION = prefixed("vision_model.")


@dataclass(frozen=True)
class TowerOutput:
    """What one pass over T tiles yields, on the tower's device.

    Args:
        features: [T, N, H] in the tower's dtype, the hidden state of ``vision_feature_layer`` without CLS.
        cls_attention: float32 [layers, T, heads, N], the CLS row of the softmaxed attention without its CLS
            column, for ``HeroConfig.layers`` in order.
        cls: [T, H], the last hidden state of CLS, before ``post_layernorm``.
        embedding: float32 [T, D], unit CLIP image embeddings; D = 0 without a relevance model.
    """

    features: torch.Tensor
    cls_attention: torch.Tensor
    cls: torch.Tensor
    embedding: torch.Tensor


class VisionTower:
    """A LLaVA-NeXT checkpoint's tower, and beside it the original CLIP's where the two differ."""

    def __init__(self, settings: EncoderSettings) -> None:
        source = Checkpoint(settings.model, "HEROSERVE_MODEL")
        config = source.llava_next()
        self.device = checkpoints.pick_device(settings.device)
        self.dtype = checkpoints.pick_dtype(settings.dtype, self.device)
        layers = config.vision_config.num_hidden_layers
        self.hero = hero_config(settings, layers)
        self.row_dtype = "int8" if settings.row_dtype == "int8" else str(self.dtype).removeprefix("torch.")
        states = config.vision_feature_layer
        states = [states] if isinstance(states, int) else list(states)
        # hidden_states[i] is the input of block i, and the last one the output of the last block.
        self._states = [state % (layers + 1) for state in states]
        self.width = config.vision_config.hidden_size * len(states)

        weights = _clean(source.tensors(_TOWER))
        self._tower = self._build(config.vision_config, weights, source)
        self._pixels = pixel_table(source).to(self.device)
        self._relevance, relevance_digest = self._load_relevance(settings, weights)
        tiler = Tiler.of(source)
        self.max_tiles = tiler.max_tiles
        self.encoder_id = _digest(
            {
                "schema": SCHEMA,
                "weights": checkpoints.digest(weights),
                "arithmetic": _arithmetic(config.vision_config),
                "relevance": relevance_digest,
                "tiler": [tiler.tile_size, tiler.patch_size, tiler.pinpoints, tiler.resample],
                "pixels": self._pixels.tolist(),
                "states": self._states,
                "ranking": [self.hero.low_layers, self.hero.high_layers, self.hero.softmax_again],
                "dtype": [str(self.dtype), self.row_dtype],
            }
        )

    @torch.inference_mode()
    def encode(self, tiles: np.ndarray[Any, np.dtype[np.uint8]]) -> TowerOutput:
        """One pass over tiles of any number of images, uint8 [T, 3, size, size]."""
        raw = torch.from_numpy(tiles).to(self.device)
        tower = self._tower
        hidden = tower.pre_layrnorm(tower.embeddings(self._normalise(raw)))
        kept: dict[int, torch.Tensor] = {}
        cls_rows: list[torch.Tensor] = []
        for index, block in enumerate(tower.encoder.layers):
            if index in self._states:
                kept[index] = hidden
            hidden = block(hidden, None, cls_rows=cls_rows if index in self.hero.layers else None)
        kept[len(tower.encoder.layers)] = hidden
        features = torch.cat([kept[state][:, 1:] for state in self._states], dim=-1)
        cls = hidden[:, 0]
        return TowerOutput(features, torch.stack(cls_rows), cls, self._embed(raw, cls))

    def synchronize(self) -> None:
        """Wait for the accelerator; raises if it is lost."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _embed(self, raw: torch.Tensor, cls: torch.Tensor) -> torch.Tensor:
        if self._relevance is None:
            return torch.zeros(len(raw), 0)
        return self._relevance(raw, cls)

    def _normalise(self, raw: torch.Tensor) -> torch.Tensor:
        """uint8 [T, 3, s, s] to the tower's dtype, by the table of exact float32 values."""
        channel = torch.arange(3, device=self.device).view(1, 3, 1, 1)
        return self._pixels[channel, raw.long()].to(self.dtype)

    def _build(self, config: Any, weights: dict[str, torch.Tensor], source: Checkpoint) -> CLIPVisionModel:
        return _build_tower(config, weights, source).to(self.device, self.dtype)

    def _load_relevance(
        self, settings: EncoderSettings, tower_weights: dict[str, torch.Tensor]
    ) -> tuple[TileEmbedder | None, str]:
        if settings.relevance is None:
            return None, ""
        source = Checkpoint(settings.relevance, "HEROSERVE_RELEVANCE_MODEL")
        config = clip_config(source)
        weights = _clean(source.tensors(_CLIP_VISION))
        projection = source.tensors(prefixed("visual_projection."))["weight"].to(self.device, self.dtype)
        pixels = pixel_table(source)
        identity = _digest(
            {
                "weights": checkpoints.digest(weights | {"visual_projection": projection.cpu()}),
                "arithmetic": _arithmetic(config.vision_config),
                "pixels": pixels.tolist(),
            }
        )
        if _same(weights, tower_weights) and _arithmetic(config.vision_config) == _arithmetic(self._tower.config):
            return SharedRelevance(self._tower.post_layernorm, projection), identity
        tower = self._build(config.vision_config, weights, source)
        return SeparateRelevance(tower, projection, pixels.to(self.device)), identity


def hero_config(settings: EncoderSettings, layers: int) -> HeroConfig:
    """The HERO config a service with these settings runs on a tower of ``layers`` blocks.

    The default takes T_clip from the relevance model; OpenAI's have learnt the very 0.01 that ``HeroConfig`` names.
    """
    if settings.hero == "reference":
        return HeroConfig.reference().for_depth(layers)
    config = HeroConfig().for_depth(layers)
    if settings.relevance is None:
        return config
    source = Checkpoint(settings.relevance, "HEROSERVE_RELEVANCE_MODEL")
    return replace(config, relevance_temperature=learned_temperature(source))


def _build_tower(config: Any, weights: dict[str, torch.Tensor], source: Checkpoint) -> CLIPVisionModel:
    config._attn_implementation = ATTENTION
    tower = CLIPVisionModel(config)
    checkpoints.load(tower, {name: tensor.float() for name, tensor in weights.items()}, source)
    return tower.eval()


def _clean(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # A buffer that older checkpoints store with their weights.
    return {name: tensor for name, tensor in weights.items() if not name.endswith("position_ids")}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape and torch.equal(one[name].float(), other[name].float()) for name in one
    )


def _arithmetic(config: Any) -> list[Any]:
    """What of a tower's config changes its outputs and is not seen in its weights."""
    return [config.hidden_act, config.layer_norm_eps, config.num_attention_heads]


def _digest(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]
