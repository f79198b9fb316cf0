"""The blocks of code in our documents: commands with what they print, and programs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Folders that hold what was built.
_MADE = ("build", "dist")
_SHELL = ("console", "sh", "bash", "shell")
_COMMENT = re.compile(r"(^|\s+)#\s.*$")
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
    folders = [
        path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name not in _MADE
    ]
    found = [*ROOT.glob("*.md"), *(path for folder in folders for path in folder.rglob("*.md"))]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        Block(document, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """Of a block of shell; none of another. A line that ends with a backslash goes on; && joins two."""
    if block.language not in _SHELL:
        return []
    found: list[Command] = []
    before: list[str] = []
    # As many lines as there were, so that each is at its place.
    joined = re.sub(r"(?:.*\\\n)+.*", lambda it: it[0].replace("\\\n", " ") + "\n" * it[0].count("\\\n"), block.text)
    for number, line in enumerate(joined.splitlines(), start=block.line + 1):
        if line.startswith("$ ") or block.language != "console":
            for part in _COMMENT.sub("", line.removeprefix("$ ")).split(" && "):
                text = " ".join(part.split())
                if _ASSIGNMENT.fullmatch(text):
                    before.append(text)
                elif text:
                    found.append(Command(f"{block.document}:{number}", text, (), tuple(before)))
        elif found and line:
            last = found.pop()
            found.append(Command(last.place, last.text, (*last.shown, line), last.before))
    return found
