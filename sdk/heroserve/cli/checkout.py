"""The checkout whose services a command starts: they are not part of what `pip install` brings."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from heroserve.cli.told import Told, one_line

# Where this package lies in one.
_HERE = Path(__file__).resolve().parents[3]
_STACK = Path("scripts") / "stack" / "__main__.py"
_OURS = re.compile(r"^name = \"heroserve\"$", re.MULTILINE)


def run(command: str, arguments: Sequence[str] = ()) -> NoReturn:
    """Become `python -m scripts.stack COMMAND` of the checkout. Raises Told where there is none, or it can't run."""
    root = find()
    if root is None:
        raise Told(
            f"{command}: starts services, and this is the client alone; they run from a checkout of heroserve",
            code="FAILED_PRECONDITION",
            hint=f"run it in one, after `make install`; or `docker compose up --wait` there{_elsewhere(command)}",
        )
    python = _python(root)
    if python is None:
        raise Told(
            f"{command}: the checkout in {one_line(str(root), 200)} has no environment yet",
            code="FAILED_PRECONDITION",
            hint="run `make install` there first",
        )
    # Back to where it was: output.py keeps libraries from file 2.
    os.dup2(sys.stderr.fileno(), 2)
    os.chdir(root)
    # It gets signals as if it had been started itself.
    os.execv(python, [python, "-m", "scripts.stack", command, *arguments])  # noqa: S606 - our own module


def find() -> Path | None:
    """The one that this command is part of, or else that it is called in; None where there is none."""
    if (_HERE / _STACK).is_file():
        return _HERE
    try:
        here = Path.cwd()
    except OSError:  # that folder is gone
        return None
    return next((folder for folder in (here, *here.parents) if _is_ours(folder)), None)


def _is_ours(folder: Path) -> bool:
    try:
        return (folder / _STACK).is_file() and bool(_OURS.search((folder / "pyproject.toml").read_text("utf-8")))
    except (OSError, ValueError):
        return False


def _python(root: Path) -> str | None:
    """This one, where it has what services need; else that of `make install`."""
    if root == _HERE and importlib.util.find_spec("ray") is not None:
        return sys.executable
    made = root / ".venv" / "bin" / "python"
    return str(made) if made.is_file() else None


def _elsewhere(command: str) -> str:
    return "; to ask services that run already, name them: --target HOST:PORT" if command == "up" else ""
