"""What is shown while a stack starts, runs and stops."""

from __future__ import annotations

import sys
import time


class Screen:
    """Lines, each with the seconds since the first one where it tells of progress.

    Who reads may go before us, a terminal or the other end of a pipe. That ends nothing, and keeps nothing from ending.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, line: str = "") -> None:
        try:
            print(line, flush=True)
        except OSError:
            # Not even what is left in the buffer, which Python would write at its end.
            sys.stdout = None

    def step(self, service: str, words: str) -> None:
        self.say(f"{self.seconds:5.1f} s  {service:9}{words}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began
