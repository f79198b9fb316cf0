"""A command on a terminal of its own, as somebody sits before it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# For a busy machine; what comes is waited for no longer than it takes.
_PATIENCE_S = 60.0
# Before a command: it hears what would end it, even if whoever runs the tests does not. Not by a function between fork
# and exec: beside gRPC's threads a process with one is aborted now and then.
HEARING = ("env", "--default-signal=INT,TERM")


class Terminal:
    """Attributes: process; shown: all that it has written."""

    def __init__(self, process: subprocess.Popen[bytes], end: int) -> None:
        self.process = process
        self.shown = ""
        self._end = end
        self._read_up_to = 0

    def see(self, text: str) -> str:
        """Wait until it has written that, behind what was seen before; what came with it."""
        until = time.monotonic() + _PATIENCE_S
        while (found := self.shown.find(text, self._read_up_to)) < 0:
            if not self._more(until):
                raise AssertionError(f"{text!r} never came: {self.shown[self._read_up_to :]!r}")
        seen = self.shown[self._read_up_to : found + len(text)]
        self._read_up_to = found + len(text)
        return seen

    def type(self, keys: str) -> None:
        """Press them: "\\r" is Enter, "\\x03" Ctrl-C, "\\x04" Ctrl-D, "\\x1b[A" the arrow up, "\\t" Tab."""
        os.write(self._end, keys.encode())

    def end(self) -> int:
        """Its status, when it has ended by itself."""
        while self._more(time.monotonic() + _PATIENCE_S):
            pass
        return self.process.wait(_PATIENCE_S)

    def _more(self, until: float) -> bool:
        ready, _, _ = select.select([self._end], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._end, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


@contextlib.contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> Iterator[Terminal]:
    """Started in a folder, or else in this one; killed afterwards if it still runs."""
    ours, its = pty.openpty()
    # In a session of its own, whose terminal it is: what Ctrl-C goes to.
    command = ["setsid", "--ctty", *HEARING, *command]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its)
    os.close(its)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
