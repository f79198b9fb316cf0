"""Links of a Markdown document, and where those lead that leave the folder of the site."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parents[2]
_CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|!?\[[^\]]*\](?:\([^)]*\))?)*)\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_OWN_NAME = re.compile(r'<a (?:id|name)="([^"]+)"')
_slug: Callable[[str, str], str] = slugify(case="lower")


def rewritten(text: str, change: Callable[[str, bool], str]) -> str:
    """The document with each link's target as ``change`` makes it of the target, and of whether it is a picture's.

    What stands in code is no link.
    """

    def swap(found: re.Match[str]) -> str:
        words = _LINK.sub(swap, found["text"])
        return f"{found['picture']}[{words}]({change(found['target'], bool(found['picture']))})"

    # Spans of code may stand in a link's words, so links are looked for where code is blanked out.
    kept: list[str] = []

    def hide(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\x00{len(kept) - 1}\x00"

    changed = _LINK.sub(swap, _CODE.sub(hide, text))
    return re.sub(r"\x00(\d+)\x00", lambda found: kept[int(found[1])], changed)


def is_local(target: str) -> bool:
    """Whether it is neither a web address nor an anchor of the same page."""
    return not re.match(r"[a-z][a-z+.-]*:|#|//", target, re.IGNORECASE)


def problem(document: Path, target: str) -> str | None:
    """Why a local link of ``document`` leads nowhere; None where it leads somewhere."""
    path, _, anchor = target.partition("#")
    found = (document.parent / path).resolve() if path else document
    if not found.is_relative_to(ROOT):
        return "leads out of the repository"
    if not found.exists():
        return "there is no such file"
    if anchor and found.suffix == ".md" and anchor not in anchors(found):
        return f"{found.relative_to(ROOT)} has no heading of that name"
    return None


@cache
def anchors(document: Path) -> frozenset[str]:
    """Of a document's headings, as GitHub makes them."""
    text = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set(_OWN_NAME.findall(text))
    for heading in _HEADING.findall(text):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = _slug(re.sub(r"[`*]", "", plain), "-")
        name, count = slug, 0
        while name in found:
            count += 1
            name = f"{slug}-{count}"
        found.add(name)
    return frozenset(found)
