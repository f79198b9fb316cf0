"""Pictures of the synthetic world: the demo's scene, and a sheet of scenes with a question and its answer each.

python -m models.world.samples examples
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .questions import KINDS, Question, ask
from .render import render
from .scene import Scene, sample_scene
from .tiles import scene_grid

_CELL = (370, 290)
_HEIGHT = 224


def scenes_of(split: str, rows: int, columns: int) -> Iterator[Scene]:
    """Scenes of a split, in order, that fill this grid of tiles exactly."""
    index = 0
    while True:
        scene = sample_scene(split, index)
        grid = scene_grid(scene)
        if (grid.rows, grid.cols) == (rows, columns) and grid.valid().all():
            yield scene
        index += 1


def draw_sheet(questions: int = 6) -> Image.Image:
    """Scenes side by side, each above a question of another kind and its answer."""
    sheet = Image.new("RGB", (_CELL[0] * 3, _CELL[1] * -(-questions // 3)), "white")
    pen = ImageDraw.Draw(sheet)
    font, bold = ImageFont.load_default(13), ImageFont.load_default(20)
    for index in range(questions):
        scene, question = _scene_to_ask(KINDS[index % len(KINDS)], 40 + 10 * index)
        x, y = index % 3 * _CELL[0], index // 3 * _CELL[1]
        left = x + (_CELL[0] - scene.width) // 2
        top = y + 4 + (_HEIGHT - scene.height) // 2
        sheet.paste(Image.fromarray(render(scene)), (left, top))
        middle = x + _CELL[0] // 2
        pen.text((middle, y + 246), question.text, font=font, fill=(60, 60, 60), anchor="mm")
        pen.text((middle, y + 270), question.answer, font=bold, fill="black", anchor="mm")
    return sheet


def _scene_to_ask(kind: str, first: int) -> tuple[Scene, Question]:
    index = first
    while True:
        scene = sample_scene("validation", index)
        question = ask(kind, scene, scene_grid(scene), np.random.default_rng(index))
        if question is not None and scene.height <= _HEIGHT:
            return scene, question
        index += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render(next(scenes_of("validation", 2, 3)))).save(folder / "scene.png", optimize=True)
    draw_sheet().save(folder / "world.png", optimize=True)


if __name__ == "__main__":
    main()
