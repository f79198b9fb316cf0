"""The questions: every kind once about each scene, the same ones whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.world.labels import tile_of
from models.world.questions import KINDS, Question, ask
from models.world.scene import SPLITS, sample_scene
from models.world.tiles import cut_scene, scene_grid
from services.families.grid import Grid

# Keeps these draws apart from those of the training recipe.
_SALT = 4242


@dataclass(frozen=True)
class Picture:
    """A scene and what is asked about it.

    Args:
        index: of the scene in its split.
        grid: how it is cut.
        tiles: uint8 [1 + K, 3, s, s], the thumbnail's first.
        questions: at most one of each kind.
        tiles_asked: for each question the local tiles (from 0) that hold the centre of an object it is about.
    """

    index: int
    grid: Grid
    tiles: NDArray[np.uint8]
    questions: tuple[Question, ...]
    tiles_asked: tuple[frozenset[int], ...]


def picture(split: str, index: int) -> Picture:
    """Scene ``index`` of a split; a kind that finds nothing to ask for is left out."""
    scene = sample_scene(split, index)
    grid = scene_grid(scene)
    rng = np.random.default_rng((_SALT, SPLITS.index(split), index))
    drawn = [ask(kind, scene, grid, rng) for kind in KINDS]
    questions = tuple(question for question in drawn if question is not None)
    asked = tuple(frozenset(tile_of(scene, grid, thing) - 1 for thing in each.targets) for each in questions)
    return Picture(index, grid, cut_scene(scene, grid), questions, asked)


def pictures(split: str, indices: range) -> Iterator[Picture]:
    for index in indices:
        yield picture(split, index)
