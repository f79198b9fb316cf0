"""Who listens on a port."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import psutil


def strangers(ports: set[int], ours: set[int]) -> Iterator[tuple[int, str]]:
    """Who listens on any of ``ports`` and is none of the processes ``ours``: the port, and who.

    On Linux alone: elsewhere only root is told.
    """
    if sys.platform != "linux":
        return
    for connection in psutil.net_connections("tcp"):
        at = connection.laddr
        if connection.status == psutil.CONN_LISTEN and at and at.port in ports and connection.pid not in ours:
            yield at.port, _name(connection.pid)


def _name(pid: int | None) -> str:
    try:
        return f"{psutil.Process(pid).name()}, process {pid}" if pid else "another user's"
    except psutil.NoSuchProcess:
        return "gone by now"
