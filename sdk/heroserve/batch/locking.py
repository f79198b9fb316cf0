"""One writer of a file at a time, where the system can tell."""

from __future__ import annotations

import errno

from heroserve.errors import ArgumentError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock(file: int) -> None:
    """Until it is closed, or the process ends. Raises ArgumentError where another one has it."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise ArgumentError("is being written by another batch; wait for it, or name another file") from None
        # A file system without locks is no reason not to answer.
