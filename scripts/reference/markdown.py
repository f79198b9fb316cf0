"""Markdown as the pages of the reference have it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def head(title: str, source: str, words: str) -> str:
    """A page's beginning.

    Args:
        title: its heading.
        source: what it is made from, in Markdown.
        words: what it is about, in Markdown.
    """
    return f"# {title}\n\n<!-- Written by `python -m scripts.generate reference`, from {source} -->\n\n{words}\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """With a blank line before and behind it; cells are Markdown, in one line each."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n" + "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines) + "\n"


def plain(text: str) -> str:
    """Text of the code as Markdown: its quotation marks for code are Markdown's, and nothing in it is HTML."""
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
