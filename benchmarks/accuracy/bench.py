"""The two services' own parts, in one process: tower, question embedder, splicer, engine, prompts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from services.common.settings import Dtype
from services.encoder import parts as encoder_parts
from services.encoder.cache.entry import Entry, build_entry
from services.encoder.hero import HeroConfig
from services.encoder.ranking.rank_images import rank_images
from services.encoder.settings import EncoderSettings
from services.encoder.tower import TowerOutput
from services.families.grid import Grid
from services.families.registry import language_half, vision_half
from services.llm import parts as llm_parts
from services.llm.engines.registry import open_engine
from services.llm.engines.transformers import TransformersEngine
from services.llm.settings import LlmSettings

from .dataset import Picture


@dataclass(frozen=True, eq=False)
class Sight:
    """What one pass of the tower tells about a picture: all that a rule may choose by.

    Args:
        grid: how it is cut.
        mask: bool [T, N], False for padding.
        output: the tower's; ``cls_attention`` [L, T, heads, N] holds every layer.
    """

    grid: Grid
    mask: NDArray[np.bool_]
    output: TowerOutput
    _entries: dict[tuple[object, ...], Entry] = field(default_factory=dict, repr=False)

    @property
    def valid(self) -> list[int]:
        """Patches of each tile that are not padding, [T]."""
        return [int(count) for count in self.mask.sum(axis=1)]

    def attention(self, layer: int) -> torch.Tensor:
        """What CLS looks at in a layer, the mean over its heads: float32 [T, N]."""
        return self.output.cls_attention[layer].mean(dim=1)

    def entry(self, config: HeroConfig) -> Entry:
        """What the encoder service would cache of this picture under a config."""
        key = (config.low_layers, config.high_layers, config.softmax_again, config.order, config.quality_floor)
        if key not in self._entries:
            (ranked,) = rank_images(self.output, [self.mask], config)
            self._entries[key], _ = build_entry(self.grid, ranked, 1.0)
        return self._entries[key]


class Bench:
    """Everything needed to look at pictures and to answer, from one checkpoint.

    Args:
        model: its folder.
        tower: dtype that the tower computes in; the language model computes in float32.

    Raises:
        ValueError: the checkpoint cuts no image into tiles, or has no relevance model.
    """

    def __init__(self, model: str, tower: Dtype = "float32") -> None:
        # No machine's default: the record is the same on each.
        settings = EncoderSettings(model=model, device="cpu", dtype=tower)
        half = vision_half(encoder_parts.model(settings))
        self.tiler = half.tiler
        if self.tiler.max_tiles == 1:
            raise ValueError(f"{model} cuts no image into tiles: there are no budgets to compare")
        embedder = encoder_parts.open_embedder(settings)
        if embedder is None:
            raise ValueError(f"{model} has no relevance model")
        self.embedder = embedder
        self.layers = half.layers
        self.tower = encoder_parts.open_tower(settings)
        # Rules read any layer; the rows recorded are all, in order, and patch_scores finds a config's among them.
        self.tower.hero = replace(self.tower.hero, low_layers=tuple(range(self.layers)), high_layers=(self.layers - 1,))
        chat = LlmSettings(model=model, device="cpu", dtype="float32")
        source = llm_parts.model(chat)
        engine = open_engine(chat, source)
        if not isinstance(engine, TransformersEngine):
            raise TypeError(f"{type(engine).__name__} does not tell how likely each token was")
        self.engine = engine
        self.splicer = llm_parts.open_splicer(chat)
        self.splice = language_half(source).splice
        self.prompts = llm_parts.open_prompts(chat)

    def look(self, picture: Picture) -> Sight:
        return Sight(picture.grid, picture.grid.valid(), self.tower.run(picture.tiles))


def tower_layers(model: str) -> int:
    """Blocks of a checkpoint's vision tower."""
    return vision_half(encoder_parts.model(EncoderSettings(model=model))).layers


def has_newlines(model: str) -> bool:
    """Whether a checkpoint's family reads a newline after a picture's rows."""
    settings = LlmSettings(model=model)
    grid = vision_half(encoder_parts.model(EncoderSettings(model=model))).tiler.grid(300, 200)
    kept = [np.flatnonzero(tile) for tile in grid.valid()]
    return language_half(llm_parts.model(settings)).splice(grid, kept, "every_row").newlines > 0


def served_config(model: str) -> HeroConfig:
    """The HERO config that the encoder service runs this checkpoint with by default."""
    return encoder_parts.hero_config(EncoderSettings(model=model), tower_layers(model))
