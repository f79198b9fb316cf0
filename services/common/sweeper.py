"""Ends process groups whose starter is gone, however it went.

The kernel ends what a service starts itself (see ``parent``), not what those have started. Ray's agents are such: they
look for the rest of their Ray for a minute, and keep its ports meanwhile.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys


class Sweeper:
    """A process that kills the groups it was told of once this one is gone. Who ends by itself is to end its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", __file__]
        # Apart, for whoever kills all of our group.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)  # noqa: S603
        atexit.register(self.dismiss)

    def add(self, group: int) -> None:
        """Tell it of one, by the process that leads it."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.write(b"%d\n" % group)

    def dismiss(self) -> None:
        """Nothing is to be swept any more."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Read groups, a line each, until nobody can write any more."""
    groups = [int(line) for line in sys.stdin.buffer]
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
