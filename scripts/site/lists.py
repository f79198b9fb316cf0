"""Where GitHub sees a list and the site would not: Python-Markdown is stricter."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ITEM = re.compile(r"( *)(?:[-*+]|\d+[.)]) ")
_FENCE = re.compile(r" *(```|~~~)")


def misread(text: str) -> Iterator[str]:
    """A line for each item that stands right below a paragraph, or within another by less than four blanks."""
    fenced, before = False, ""
    for number, line in enumerate(text.splitlines(), start=1):
        fenced ^= _FENCE.match(line) is not None
        item = None if fenced else _ITEM.match(line)
        if item and before.strip() and not _ITEM.match(before) and not before.startswith(" "):
            yield f"{number}: a list begins without a blank line before it"
        if item and len(item[1]) % 4:
            yield f"{number}: a list within another needs four blanks"
        before = line
