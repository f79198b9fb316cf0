"""A service's processes: the one that was started, and all below it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import psutil

# A traceback's, and a few before it.
_LINES = 25


class Family:
    """A service that was started.

    Args:
        name: of the service.
        process: its own.
        log: what it and those below it write to.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._below: set[psutil.Process] = set()

    def look(self) -> set[int]:
        """Note who belongs to it now: once it is dead nobody can tell. Returns their process ids."""
        # Those that were seen before stay known.
        with contextlib.suppress(psutil.NoSuchProcess):
            self._below |= set(psutil.Process(self.process.pid).children(recursive=True))
        return {self.process.pid, *(each.pid for each in self._below if each.is_running())}

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def end(self) -> str:
        """How it ended, and what it said last."""
        code = self.process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"{self.name} {how}; {self.last_words}"

    @property
    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").rstrip().splitlines()
        if lines and lines[-1].startswith("heroserve: "):
            # It knows why, and says it in one line.
            return f"it says:\n  {lines[-1].removeprefix('heroserve: ')}"
        words = "\n".join(f"  {line}" for line in lines[-_LINES:])
        return f"its last lines, of {self.log}:\n{words}" if words else f"it said nothing (in {self.log})"

    def ask_to_stop(self) -> None:
        if not self.has_ended:
            self.look()
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if not self.has_ended:
            self.look()
            self.process.kill()

    def reap(self, deadline: float) -> None:
        """Wait until it and all below it are gone; who is not by ``deadline``, as time.monotonic has it, is killed."""
        self.process.wait()
        while self._left() and time.monotonic() < deadline:
            time.sleep(0.02)
        for each in self._left():
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        while self._left():
            time.sleep(0.02)

    def _left(self) -> list[psutil.Process]:
        """Who runs; dead ones that nobody has asked for have let go of all they had."""
        return [each for each in self._below if _runs(each)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
