"""`heroserve up`."""

from __future__ import annotations

from heroserve.cli import checkout


def up() -> None:
    """Start Redis and both services on this machine, until Ctrl-C; print where they are, and a first command to paste.
    In a checkout.

    HEROSERVE_ variables of the shell are the services' settings: HEROSERVE_MODEL, HEROSERVE_CACHE_URL, ...
    """
    checkout.run("up")
