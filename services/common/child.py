"""Processes of our own that work on what others wrote."""

from __future__ import annotations

import os
import sys

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


def environment(**more: str) -> dict[str, str]:
    """What such a process needs to find our modules, and ``more``: no keys, and no passwords."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | more
