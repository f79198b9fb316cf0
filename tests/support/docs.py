"""The blocks of code in our documents: commands with what they print, and programs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Folders that hold what was built, or what others wrote.
_MADE = ("build", "dist", "node_modules")
_SHELL = ("console", "sh", "bash", "shell")
_COMMENT = re.compile(r"(^|\s+)#\s")
# Sets variables for the commands below it, and does nothing else.
_ASSIGNMENT = re.compile(r"(export )?(\w+=(\$\([^)]*\)|\S*)\s*)+")


@dataclass(frozen=True)
class Block:
    """One between fences, of a document."""

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Command:
    """What stands behind a $, and what is shown below it."""

    place: str
    text: str
    shown: tuple[str, ...] = ()
    before: tuple[str, ...] = field(default=(), repr=False)  # assignments of the same block


def documents() -> list[str]:
    """All that are ours."""
    return sorted(str(path.relative_to(ROOT)) for path in _documents(ROOT))


def _documents(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith(".") and path.name not in _MADE:
            yield from _documents(path)
        elif path.suffix == ".md" and path.is_file():
            yield path


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        Block(document, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """Of a block of shell; none of another. A backslash or an open quotation goes on; && joins two."""
    if block.language not in _SHELL:
        return []
    found: list[Command] = []
    before: list[str] = []
    lines = list(enumerate(block.text.splitlines(), start=block.line + 1))
    while lines:
        number, line = lines.pop(0)
        if block.language == "console" and not line.startswith("$ "):
            if found and line:
                found[-1] = replace(found[-1], shown=(*found[-1].shown, line))
            continue
        line = line.removeprefix("$ ")
        while lines and _goes_on(line):
            line = f"{line.removesuffix(chr(92))} {lines.pop(0)[1].strip()}"
        for part in _without_comment(line).split(" && "):
            text = " ".join(part.split())
            if _ASSIGNMENT.fullmatch(text):
                before.append(text)
            elif text:
                found.append(Command(f"{block.document}:{number}", text, (), tuple(before)))
    return found


def _goes_on(line: str) -> bool:
    """Whether the shell would wait for more."""
    return line.endswith("\\") or not _is_whole(line)


def _without_comment(line: str) -> str:
    starts = [found.start() for found in _COMMENT.finditer(line)]
    return next((line[:start] for start in starts if _is_whole(line[:start])), line)


def _is_whole(text: str) -> bool:
    """Whether every quotation has its end."""
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True
