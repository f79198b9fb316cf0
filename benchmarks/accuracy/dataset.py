"""The questions: every kind once about each scene, the same ones whoever asks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.world.labels import tile_of
from models.world.page import Page
from models.world.page_questions import PAGE_KINDS, ask_page
from models.world.questions import KINDS, Question, ask
from models.world.scene import SPLITS
from models.world.tiles import TILER, scene_grid
from services.families.family import Tiler
from services.families.grid import Grid

from .worlds import WORLDS, picture_of

# Keeps these draws apart from those of the training recipe.
_SALT = 4242


@dataclass(frozen=True)
class Picture:
    """A scene or page and what is asked about it.

    Args:
        index: of the scene in its split.
        grid: how it is cut.
        tiles: uint8 [1 + K, 3, s, s], the thumbnail's first.
        questions: at most one of each kind.
        tiles_asked: for each question the local tiles (from 0) that hold the centre of an object it is about.
        way: how the second world made it; "" in the first.
    """

    index: int
    grid: Grid
    tiles: NDArray[np.uint8]
    questions: tuple[Question, ...]
    tiles_asked: tuple[frozenset[int], ...]
    way: str = ""

    def only(self, kinds: Collection[str]) -> Picture:
        """With its questions of these kinds."""
        chosen = [at for at, question in enumerate(self.questions) if question.kind in kinds]
        questions = tuple(self.questions[at] for at in chosen)
        return replace(self, questions=questions, tiles_asked=tuple(self.tiles_asked[at] for at in chosen))


def picture(split: str, index: int, world: str = WORLDS[0], tiler: Tiler = TILER) -> Picture:
    """Picture ``index`` of a split, as ``tiler`` cuts it; a kind that finds nothing to ask for is left out.

    What is asked is the world's to say, whoever cuts.

    Raises:
        ValueError: that world has no such split.
    """
    found = picture_of(world, split, index)
    scene = found.content
    rng = np.random.default_rng((_SALT, SPLITS.index(split), index))
    if isinstance(scene, Page):
        drawn: list[Question | None] = [ask_page(kind, scene, rng) for kind in PAGE_KINDS]
    else:
        drawn = [ask(kind, scene, scene_grid(scene), rng) for kind in KINDS]
    questions = tuple(question for question in drawn if question is not None)
    grid = tiler.grid(scene.width, scene.height)
    place = tiler.place(grid)
    asked = tuple(frozenset(tile_of(scene, grid, thing, place) - 1 for thing in each.targets) for each in questions)
    return Picture(index, grid, tiler.cut(Image.fromarray(found.pixels), grid), questions, asked, found.way)


def pictures(split: str, indices: range, world: str = WORLDS[0], tiler: Tiler = TILER) -> Iterator[Picture]:
    for index in indices:
        yield picture(split, index, world, tiler)
