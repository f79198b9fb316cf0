"""How much memory a side takes at most: of all processes below this one, what they share counted once."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import TracebackType

import psutil

_EVERY_S = 1.0


def below() -> int:
    """Bytes that they take now: proportional set sizes, as Linux has them."""
    found = 0
    for process in psutil.Process().children(recursive=True):
        try:
            told = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except OSError:
            # It has just ended.
            continue
        if match := re.search(r"^Pss:\s+(\d+) kB", told, re.MULTILINE):
            found += 1024 * int(match[1])
    return found


class Memory:
    """Looks every second while its block runs."""

    def __init__(self) -> None:
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def peak(self) -> int:
        """The most that was seen since it was asked last, in bytes."""
        found = max(self._peak, below())
        self._peak = 0
        return found

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._peak = max(self._peak, below())

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
