"""How far a service is, for whoever started it: systemd's protocol, datagrams to the socket that NOTIFY_SOCKET names.

Who started it thus hears it of this very process, and not of whatever answers on its ports.
"""

from __future__ import annotations

import logging
import os
import socket

VARIABLE = "NOTIFY_SOCKET"

logger = logging.getLogger(__name__)


def stage(words: str) -> None:
    """It is starting, and this is what it does next."""
    _send(f"STATUS={words}")


def ready() -> None:
    """It takes requests."""
    _send("READY=1\nSTATUS=ready")


def stopping() -> None:
    _send("STOPPING=1\nSTATUS=stopping")


def _send(message: str) -> None:
    address = os.environ.get(VARIABLE, "")
    if not address:
        return
    if address.startswith("@"):
        # Linux's names that are in no folder.
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto(message.encode(), address)
    except OSError as error:
        # Nobody listens any more: that is no reason to stop.
        logger.debug("%s=%s: %s", VARIABLE, address, error)
