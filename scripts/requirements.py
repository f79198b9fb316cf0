"""What extras of pyproject.toml need, a line each, for a layer of an image that code does not change.

python scripts/requirements.py EXTRA...

Runs with Python's standard library alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomllib

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def requirements(project: dict[str, Any], extras: list[str]) -> Iterator[str]:
    """Requirements of others: the project's own and the extras', those of extras they name included."""
    yield from project["dependencies"]
    extras = [*extras]
    for name in extras:
        for requirement in project["optional-dependencies"][name]:
            named = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if named:
                extras += named[1].split(",")
            else:
                yield requirement


if __name__ == "__main__":
    print(*requirements(tomllib.loads(PROJECT.read_text())["project"], sys.argv[1:]), sep="\n")
