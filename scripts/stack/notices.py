"""What the services that were started say of themselves; see ``services.common.notify``."""

from __future__ import annotations

import contextlib
import selectors
import socket
import tempfile
from pathlib import Path


class Notices:
    """A socket for each service, which no other process knows: what comes over it is of the one that was started.

    Attributes:
        ready: services that take requests.
    """

    def __init__(self) -> None:
        # Not where logs go: a socket's path is 100 characters at most.
        self._folder = tempfile.TemporaryDirectory(prefix="heroserve-")
        self._selector = selectors.DefaultSelector()
        self.ready: set[str] = set()
        self._opened = 0

    def open(self, service: str) -> str:
        """The address to start it with, another each time."""
        self.ready.discard(service)
        self._opened += 1
        path = str(Path(self._folder.name) / f"{service}-{self._opened}")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        connection.bind(path)
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, service)
        return path

    def wait(self, timeout_s: float) -> list[tuple[str, str]]:
        """What has been said, or is within this time: services and what they do now."""
        said = []
        for key, _ in self._selector.select(timeout_s):
            with contextlib.suppress(BlockingIOError):
                while message := key.fileobj.recv(4096):  # type: ignore[union-attr]
                    fields = dict(line.partition("=")[::2] for line in message.decode().splitlines())
                    if fields.get("READY") == "1":
                        self.ready.add(key.data)
                    said.append((key.data, fields.get("STATUS", "")))
        return said

    def close(self) -> None:
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._folder.cleanup()
