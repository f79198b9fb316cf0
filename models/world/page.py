"""Pages: short printed lines on light paper, like a receipt's, each a label and its code, to be read by label.

A page is data, as a scene is. It fills its tiles exactly, and a line lies in one of them: a slip is one tile wide, a
wider page has columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scene import CHARACTERS, SPLITS, TILE

KEYS = ("TOTAL", "TAX", "CASH", "DATE", "ITEM", "SEAT", "SUM", "TIME", "NOTE", "SIZE", "ROOM", "GATE")
# Characters of a code.
CODE = 2
# Two letters in a row would be a word to some tokenizers, and two tokens to others.
_CODES = tuple(a + b for a in CHARACTERS for b in CHARACTERS if (a + b)[0].isdigit() or b.isdigit())
# Pixels from letter to letter of a label and of a code, and between the two: a patch is 14.
KEY_STEP, CODE_STEP, GAP = 10, 14, 8
# (rows, columns) of tiles of a page, and how often it has them.
PAGE_GRIDS = {(2, 1): 0.2, (3, 1): 0.2, (1, 2): 0.1, (2, 2): 0.3, (3, 2): 0.2}
_SLOTS = 4
# Keeps pages apart from the scenes of the same split and index.
_SALT = 606


@dataclass(frozen=True)
class Line:
    """One printed line. ``x`` and ``y`` are its middle in pixels of the page, ``size`` that of its font."""

    key: str
    code: str
    x: int
    y: int
    size: int

    @property
    def facts(self) -> tuple[str, ...]:
        """What a caption may claim of it."""
        return (self.key, self.code)

    @property
    def left(self) -> float:
        return self.x - line_width(self.key) / 2

    @property
    def letters(self) -> list[tuple[str, float]]:
        """Each letter of label and code with the middle of its cell, in pixels from the page's left."""
        code = self.left + KEY_STEP * len(self.key) + GAP
        return [
            *((letter, self.left + KEY_STEP * (at + 0.5)) for at, letter in enumerate(self.key)),
            *((letter, code + CODE_STEP * (at + 0.5)) for at, letter in enumerate(self.code)),
        ]


@dataclass(frozen=True)
class Page:
    """A page to be: its size in pixels, its lines from the top, and the seed of its paper."""

    width: int
    height: int
    lines: tuple[Line, ...]
    ground: int


def line_width(key: str) -> int:
    return KEY_STEP * len(key) + GAP + CODE_STEP * CODE


def sample_page(split: str, index: int) -> Page:
    """Page ``index`` of a split; splits share none. No two lines of a page share label or code."""
    rng = _generator(split, index)
    grids = list(PAGE_GRIDS)
    rows, columns = grids[rng.choice(len(grids), p=list(PAGE_GRIDS.values()))]
    count = int(rng.integers(max(3, rows * columns), min(3 * rows * columns, 9) + 1))
    return _page(rng, rows, columns, count)


def sample_slip(index: int) -> Page:
    """One tile of training page, as full as it gets."""
    return _page(_generator("clutter", index), 1, 1, _SLOTS)


def _page(rng: np.random.Generator, rows: int, columns: int, count: int) -> Page:
    keys = [KEYS[at] for at in rng.permutation(len(KEYS))[:count]]
    codes = rng.permutation(len(_CODES))[:count]
    size = int(rng.integers(15, 18))
    slots = np.sort(rng.permutation(rows * columns * _SLOTS)[:count])
    lines = []
    for key, code, slot in zip(keys, codes, slots, strict=True):
        row, column = divmod(int(slot), columns)
        slack = (TILE - line_width(key)) // 2 - 3
        pitch = TILE // _SLOTS
        x = column * TILE + TILE // 2 + int(rng.integers(-slack, slack + 1))
        y = row * pitch + pitch // 2 + int(rng.integers(-4, 5))
        lines.append(Line(key, _CODES[code], x, y, size))
    return Page(TILE * columns, TILE * rows, tuple(lines), int(rng.integers(2**31)))


def _generator(split: str, index: int) -> np.random.Generator:
    return np.random.default_rng((SPLITS.index(split), index, _SALT))
