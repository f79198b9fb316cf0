"""What is compared: rules that choose patches, and how the language model is shown what they chose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.budget import Retention
from services.common.rows import RowDtype
from services.encoder.cache.entry import Entry
from services.encoder.hero import HeroConfig
from services.encoder.plan import TokenPlan, plan_tokens
from services.families.grid import Newlines

from . import baselines
from .bench import Sight

Kept = list[NDArray[np.int64]]


@dataclass(frozen=True)
class Asked:
    """A question, as far as a rule may know it.

    Args:
        embedding: unit CLIP embedding, float32 [D].
        seed: of this question, for rules that draw.
    """

    embedding: NDArray[Any]
    seed: tuple[int, ...]


# From a picture, a question and a retention in (0, 1] to the kept positions of each tile, ascending: T x int64 [<= N].
Select = Callable[[Sight, Asked, float], Kept]


@dataclass(frozen=True)
class Method:
    """A line of the comparison.

    Args:
        name: short, for files.
        label: for readers.
        select: which patches are kept.
        newlines: HEROSERVE_NEWLINES.
        original_positions: HEROSERVE_POSITION_IDS=original.
        rows: HEROSERVE_ENCODER_ROWS; None as the tower made them.
        base: of these patches those that no question changes: HEROSERVE_LAYOUT=base_first.
    """

    name: str
    label: str
    select: Select
    newlines: Newlines = "kept_rows"
    original_positions: bool = False
    rows: RowDtype | None = None
    base: Select | None = None


@dataclass(frozen=True)
class Hero:
    """HERO by the encoder service's own code: its ranking, its budgets."""

    config: HeroConfig
    relevance: bool = True
    with_base: bool = False

    def __call__(self, sight: Sight, asked: Asked, retention: float) -> Kept:
        entry, plan = self.plan(sight, asked, retention)
        return _first(entry, plan.counts)

    def plan(self, sight: Sight, asked: Asked, retention: float) -> tuple[Entry, TokenPlan]:
        entry = sight.entry(self.config)
        embedding = asked.embedding if self.relevance else None
        return entry, plan_tokens(entry, embedding, Retention(retention), self.config, with_base=self.with_base)


@dataclass(frozen=True)
class Base:
    """Of what HERO keeps that which no question changes."""

    hero: Hero

    def __call__(self, sight: Sight, asked: Asked, retention: float) -> Kept:
        entry, plan = self.hero.plan(sight, asked, retention)
        return _first(entry, plan.base or [0] * len(plan.counts))


def _first(entry: Entry, counts: list[int]) -> Kept:
    """The best-ranked patches of each tile."""
    kept = entry.positions[entry.kept(counts)].astype(np.int64)
    return [np.sort(tile) for tile in np.split(kept, np.cumsum(counts)[:-1])]


@dataclass(frozen=True)
class Baseline:
    """A rule of ``baselines``."""

    rule: Callable[[Sight, tuple[int, ...], float], Kept]

    def __call__(self, sight: Sight, asked: Asked, retention: float) -> Kept:
        return self.rule(sight, asked.seed, retention)


HERO = "hero"
EVERY_ROW = "every_row"
THUMBNAIL = "thumbnail"
BLIND = "blind"
# What does not heed the retention: marks to read the others by.
FIXED = (THUMBNAIL, BLIND)
# What HERO has to be ahead of.
RIVALS = ("hired", "last_layer", "uniform", "random")


def methods(config: HeroConfig, *, newlines: bool = True) -> list[Method]:
    """All lines, HERO with ``config`` first; that on newlines where there are any.

    A part is removed by what is left without it: relevance by alpha = 1, saliency by alpha = 0, two-stage attention by
    reading the low or the high layers in every tile.
    """
    low, high = config.low_layers, config.high_layers
    # Its own alpha and temperature too; the layers are those of this tower.
    reference = replace(HeroConfig.reference(), low_layers=low, high_layers=config.high_layers)
    with_base = Hero(config, with_base=True)
    lines = [
        Method(HERO, "HERO", Hero(config)),
        Method("base_first", "HERO, a base first", with_base, base=Base(with_base)),
        Method("by_score", "HERO, the paper's order", Hero(replace(config, order="score"))),
        Method("no_relevance", "HERO, no relevance", Hero(config, relevance=False)),
        Method("no_saliency", "HERO, no saliency", Hero(replace(config, alpha=0.0))),
        Method("no_density", "HERO, no density", Hero(replace(config, density_weight=0.0))),
        Method("low_only", "HERO, low layers only", Hero(replace(config, high_layers=low))),
        Method("high_only", "HERO, high layers only", Hero(replace(config, low_layers=high))),
        Method("reference", "HERO, the authors' reference()", Hero(reference)),
        Method("original_positions", "HERO, original position ids", Hero(config), original_positions=True),
        Method(EVERY_ROW, "HERO, newlines of every row", Hero(config), newlines="every_row"),
        Method("bfloat16", "HERO, bfloat16 rows", Hero(config), rows="bfloat16"),
        Method("int8", "HERO, int8 rows", Hero(config), rows="int8"),
        Method("hired", "HiRED's rule", Baseline(baselines.hired)),
        Method("last_layer", "last-layer CLS, equal budgets", Baseline(baselines.last_layer)),
        Method("uniform", "uniform grid", Baseline(baselines.uniform)),
        Method("random", "random", Baseline(baselines.random)),
        Method(THUMBNAIL, "thumbnail only", Baseline(baselines.thumbnail_only)),
        Method(BLIND, "no visual token", Baseline(baselines.nothing)),
    ]
    return [line for line in lines if newlines or line.name != EVERY_ROW]
