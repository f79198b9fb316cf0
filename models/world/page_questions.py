"""Questions about a page, each with its one right answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .page import KEYS, Page
from .questions import Question


def ask_page(kind: str, page: Page, rng: np.random.Generator) -> Question:
    """A question of this kind about this page; every page has one of each."""
    return _ASK[kind](page, rng)


def _code(page: Page, rng: np.random.Generator) -> Question:
    line = page.lines[rng.integers(len(page.lines))]
    return Question("code", f"what is the code of {line.key}?", line.code, (line,))


def _key(page: Page, rng: np.random.Generator) -> Question:
    line = page.lines[rng.integers(len(page.lines))]
    return Question("key", f"which line has the code {line.code}?", line.key, (line,))


def _line(page: Page, rng: np.random.Generator) -> Question:
    printed = {line.key: line for line in page.lines}
    absent = [key for key in KEYS if key not in printed]
    if rng.random() < 0.5 or not absent:
        line = page.lines[rng.integers(len(page.lines))]
        return Question("line", f"is there a line {line.key}?", "yes", (line,))
    return Question("line", f"is there a line {absent[rng.integers(len(absent))]}?", "no")


_ASK: dict[str, Callable[[Page, np.random.Generator], Question]] = {"code": _code, "key": _key, "line": _line}
PAGE_KINDS = tuple(_ASK)
