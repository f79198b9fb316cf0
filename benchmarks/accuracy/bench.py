"""The two services' own parts, in one process: tower, question embedder, language model, prompts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.world.tiles import TILER
from services.common.checkpoint import Checkpoint
from services.encoder.cache.entry import Entry, build_entry
from services.encoder.hero import HeroConfig
from services.encoder.ranking import rank_images
from services.encoder.relevance import QuestionEmbedder
from services.encoder.settings import EncoderSettings
from services.encoder.tiling import TilePlan, Tiler
from services.encoder.tower import TowerOutput, VisionTower, hero_config
from services.llm.model import LanguageModel
from services.llm.prompt import PromptBuilder
from services.llm.settings import LlmSettings

from .dataset import Picture


@dataclass(frozen=True, eq=False)
class Sight:
    """What one pass of the tower tells about a picture: all that a rule may choose by.

    Args:
        plan: how it is cut.
        mask: bool [T, N], False for padding.
        output: the tower's; ``cls_attention`` [L, T, heads, N] holds every layer.
    """

    plan: TilePlan
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
        key = (config.low_layers, config.high_layers, config.softmax_again)
        if key not in self._entries:
            (ranked,) = rank_images(self.output, [self.mask], config)
            self._entries[key], _ = build_entry(self.plan, ranked, 1.0)
        return self._entries[key]


class Bench:
    """Everything needed to look at pictures and to answer, from one checkpoint.

    Raises:
        ValueError: the checkpoint cuts its images otherwise than the synthetic world, or has no relevance model.
    """

    def __init__(self, model: str) -> None:
        source = Checkpoint(model, "HEROSERVE_MODEL")
        settings = EncoderSettings(model=model, device="cpu")
        if Tiler.of(source) != TILER:
            raise ValueError(f"{model} does not cut its images as the synthetic world does: {Tiler.of(source)}")
        if settings.relevance is None:
            raise ValueError(f"{model} has no relevance model")
        self.layers = tower_layers(model)
        self.tower = VisionTower(settings)
        # Rules read any layer; the rows recorded are all, in order, and patch_scores finds a config's among them.
        self.tower.hero = replace(self.tower.hero, low_layers=tuple(range(self.layers)), high_layers=(self.layers - 1,))
        self.embedder = QuestionEmbedder(Checkpoint(settings.relevance, "HEROSERVE_RELEVANCE_MODEL"))
        self.language = LanguageModel(LlmSettings(model=model, device="cpu"))
        self.prompts = PromptBuilder(source)

    def look(self, picture: Picture) -> Sight:
        return Sight(picture.plan, picture.plan.valid(), self.tower.encode(picture.tiles))


def tower_layers(model: str) -> int:
    """Blocks of a checkpoint's vision tower."""
    return int(Checkpoint(model, "HEROSERVE_MODEL").llava_next().vision_config.num_hidden_layers)


def served_config(model: str) -> HeroConfig:
    """The HERO config that the encoder service runs this checkpoint with by default."""
    return hero_config(EncoderSettings(model=model), tower_layers(model))
