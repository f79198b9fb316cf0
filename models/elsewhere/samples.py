"""A sheet of the second world: one picture of each way, with a question and its answer.

python -m models.elsewhere.samples examples
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.world.page_questions import PAGE_KINDS
from models.world.questions import KINDS
from models.world.samples import Cell, ask_any, draw_sheet, has_room

from .draw import draw
from .sample import WAYS, sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    cells = []
    for at, way in enumerate(WAYS):
        kind = PAGE_KINDS[0] if way == "page" else KINDS[at]
        index = at
        while (question := ask_any(kind, sample(index).content, index)) is None or not has_room(sample(index).content):
            index += len(WAYS)
        cells.append(Cell(draw(sample(index)), question))
    draw_sheet(cells).save(folder / "elsewhere.png", optimize=True)


if __name__ == "__main__":
    main()
