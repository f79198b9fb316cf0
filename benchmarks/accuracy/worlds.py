"""Which world the pictures come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.elsewhere.draw import draw as draw_elsewhere
from models.elsewhere.sample import sample as sample_elsewhere
from models.world.page import Page, sample_page
from models.world.scene import Scene, sample_scene
from models.world.tiles import draw

# Scenes and pages as the model was trained on, and a world that it was not trained on, which has the test split only.
WORLDS = ("scenes", "pages", "second")


@dataclass(frozen=True)
class Content:
    """A picture before it is cut.

    Args:
        content: what it shows.
        pixels: uint8 [height, width, 3].
        way: how it differs from the first world's, "" where it does not.
    """

    content: Scene | Page
    pixels: NDArray[np.uint8]
    way: str = ""


def picture_of(world: str, split: str, index: int) -> Content:
    """The same arguments, the same picture.

    Raises:
        ValueError: this world has no such split.
    """
    if world == "second":
        if split != "test":
            raise ValueError(f"the second world is for tests alone: it has no {split} split")
        sample = sample_elsewhere(index)
        return Content(sample.content, draw_elsewhere(sample), sample.way)
    content = sample_page(split, index) if world == "pages" else sample_scene(split, index)
    return Content(content, draw(content))
