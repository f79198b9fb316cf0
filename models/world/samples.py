"""Pictures of the synthetic world: the demo's scene, a page, a file of questions about both, and sheets of scenes and
pages with questions and answers.

python -m models.world.samples examples
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .page import Page, sample_page
from .page_questions import PAGE_KINDS, ask_page
from .questions import KINDS, Question, ask
from .render import Pixels
from .scene import TILE, Scene, sample_scene
from .tiles import draw, scene_grid

_CELL = (370, 290)
_HEIGHT = 224
_OF_A_KIND = 4


def scenes_of(split: str, rows: int, columns: int) -> Iterator[Scene]:
    """Scenes of a split, in order, that fill this grid of tiles exactly."""
    index = 0
    while True:
        scene = sample_scene(split, index)
        grid = scene_grid(scene)
        if (grid.rows, grid.cols) == (rows, columns) and grid.valid().all():
            yield scene
        index += 1


@dataclass(frozen=True)
class Cell:
    """A picture of a sheet, uint8 [height, width, 3], and what is written under it."""

    pixels: Pixels
    question: Question


def draw_sheet(cells: Sequence[Cell]) -> Image.Image:
    """Pictures side by side, each above its question and the answer."""
    sheet = Image.new("RGB", (_CELL[0] * 3, _CELL[1] * -(-len(cells) // 3)), "white")
    pen = ImageDraw.Draw(sheet)
    font, bold = ImageFont.load_default(13), ImageFont.load_default(20)
    for index, cell in enumerate(cells):
        height, width = cell.pixels.shape[:2]
        x, y = index % 3 * _CELL[0], index // 3 * _CELL[1]
        left = x + (_CELL[0] - width) // 2
        top = y + 4 + (_HEIGHT - height) // 2
        sheet.paste(Image.fromarray(cell.pixels), (left, top))
        middle = x + _CELL[0] // 2
        pen.text((middle, y + 246), cell.question.text, font=font, fill=(60, 60, 60), anchor="mm")
        pen.text((middle, y + 270), cell.question.answer, font=bold, fill="black", anchor="mm")
    return sheet


def has_room(scene: Scene | Page) -> bool:
    """Whether a sheet's cell holds it."""
    return scene.height <= _HEIGHT


def ask_any(kind: str, scene: Scene | Page, seed: int) -> Question | None:
    """Of a scene or a page; None for a kind of the other, and where there is nothing to ask for."""
    rng = np.random.default_rng(seed)
    if isinstance(scene, Page) != (kind in PAGE_KINDS):
        return None
    return ask_page(kind, scene, rng) if isinstance(scene, Page) else ask(kind, scene, scene_grid(scene), rng)


def _cell(kind: str, first: int) -> Cell:
    """The first picture, from this index on, that this kind can be asked about."""
    index = first
    while True:
        scene = (sample_page if kind in PAGE_KINDS else sample_scene)("validation", index)
        question = ask_any(kind, scene, index)
        if question is not None and has_room(scene):
            return Cell(draw(scene), question)
        index += 1


def pages_of(split: str, rows: int, columns: int) -> Iterator[Page]:
    """Pages of a split, in order, that fill this grid of tiles."""
    for index in count():
        page = sample_page(split, index)
        if (page.height, page.width) == (rows * TILE, columns * TILE):
            yield page


def questions_about(scene: Scene | Page, picture: str) -> Iterator[dict[str, str]]:
    """Some of each kind, with their answers, as `heroserve batch` and `heroserve curve` read them."""
    for kind in PAGE_KINDS if isinstance(scene, Page) else KINDS:
        found: dict[str, str] = {}
        for seed in range(100):
            question = ask_any(kind, scene, seed)
            if question is not None and len(found) < _OF_A_KIND:
                found[question.text] = question.answer
        for at, (text, answer) in enumerate(found.items(), start=1):
            yield {"id": f"{kind}-{at}", "image": picture, "question": text, "answer": answer}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    scene = next(scenes_of("validation", 2, 3))
    page = next(pages_of("validation", 3, 2))
    lines = []
    for content, name in ((scene, "scene.png"), (page, "page.png")):
        Image.fromarray(draw(content)).save(folder / name, optimize=True)
        lines += [json.dumps(line) + "\n" for line in questions_about(content, name)]
    (folder / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    for name, kinds in (("world", KINDS), ("pages", PAGE_KINDS)):
        cells = [_cell(kind, 40 + 10 * at) for at, kind in enumerate(kinds)]
        draw_sheet(cells).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
