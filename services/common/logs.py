"""Logs of our own modules to stderr; Ray forwards a replica's to its driver."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def configure(level: str) -> None:
    """Set up this process's ``services`` logger; calling it again changes only the level."""
    root = logging.getLogger("services")
    root.setLevel(level)
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        root.addHandler(handler)
        root.propagate = False
