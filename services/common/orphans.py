"""Ends what a library has started in processes of its own once the one that uses it is gone, however it went.

What we start ourselves the kernel ends (see ``parent``), and a Ray of ours is swept by groups (see ``sweeper``). A
library's processes stay in our group and ask for nobody: such an engine would hold an accelerator's memory for ever.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator

# Between looks while more may be started, and afterwards.
_OFTEN_S = 1.0
_SELDOM_S = 15.0


class Orphans:
    """A process that kills all that descends from this one once this one is gone."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
        # Apart, for whoever kills all of our group.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)  # noqa: S603

    def dismiss(self) -> None:
        """Nothing of it runs any more."""
        self._process.kill()
        self._process.communicate()

    def settled(self) -> None:
        """All that is to be started is: it need not look so often."""
        if self._process.stdin is not None:
            self._process.stdin.write(b"\n")


def descendants(of: int) -> dict[int, int]:
    """Processes that descend from one, by number, with the time each was started at, in the kernel's ticks."""
    parents, begun = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            # One that has ended meanwhile.
            with contextlib.suppress(OSError):
                parents[int(name)], begun[int(name)] = _stat(int(name))
    return {number: begun[number] for number in parents if of in _ancestors(number, parents)}


def _stat(number: int) -> tuple[int, int]:
    with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
        # Behind the program's name, which may be anything.
        fields = file.read().rpartition(")")[2].split()
    return int(fields[1]), int(fields[19])


def _ancestors(number: int, parents: dict[int, int]) -> Iterator[int]:
    seen: set[int] = set()
    while number in parents and number not in seen:
        seen.add(number)
        number = parents[number]
        yield number


def main(of: int) -> None:
    """Look again and again, until nobody can write to us any more."""
    known: dict[int, int] = {}
    wait_s = _OFTEN_S
    while True:
        if os.getppid() == of:
            known |= descendants(of)
            known.pop(os.getpid(), None)
        ready, _, _ = select.select([sys.stdin], [], [], wait_s)
        if ready:
            if not os.read(0, 64):
                break
            wait_s = _SELDOM_S
    for number, begun in known.items():
        # Its number may be another's by now.
        with contextlib.suppress(OSError):
            if _stat(number)[1] == begun:
                os.kill(number, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]))
