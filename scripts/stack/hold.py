"""Ports that a stack has chosen and does not listen on yet: other stacks of this user leave them alone."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path


class Hold:
    """Locks on files, which are gone with the process that has them, however it ends.

    Several seconds pass from when a port is found free until its service listens there, and gRPC's servers let others
    of the same user listen beside them.

    Args:
        folder: of the files, the same for all; one of this user's own by default.

    Raises:
        OSError: it can't be made, or is another user's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"heroserve-ports-{os.getuid()}"
        self._held: dict[int, int] = {}
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._folder.is_symlink() or self._folder.stat().st_uid != os.geteuid():
            raise PermissionError(f"{self._folder} is not this user's; remove it, or set TMPDIR")

    def take(self, port: int) -> bool:
        """Whether it is this stack's now, and was nobody's."""
        if port in self._held:
            return False
        file = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._held[port] = file
        return True

    def release(self) -> None:
        """Let others have them."""
        for file in self._held.values():
            os.close(file)
        self._held.clear()
