"""What an extra of pyproject.toml needs, a line each, for a layer of an image that code does not change.

python scripts/requirements.py EXTRA

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


def requirements(project: dict[str, Any], extra: str) -> Iterator[str]:
    """Requirements of others: the project's own and the extra's, those of extras it names included."""
    yield from project["dependencies"]
    extras = [extra]
    for name in extras:
        for requirement in project["optional-dependencies"][name]:
            named = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if named:
                extras += named[1].split(",")
            else:
                yield requirement


if __name__ == "__main__":
    (name,) = sys.argv[1:]
    print(*requirements(tomllib.loads(PROJECT.read_text())["project"], name), sep="\n")
