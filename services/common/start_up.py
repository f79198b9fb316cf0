"""How far a start is: each part told as it begins, and what all of them took once it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.common import notify


class StartUp:
    """Parts of a start, one after the other; what goes on beside them is told apart.

    Args:
        words: of the first, which has begun.
        clock: in seconds.
    """

    def __init__(self, words: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._parts = [(words, self._began)]
        self._beside: list[str] = []

    def begin(self, words: str) -> None:
        """The part before is over, and this one begins."""
        notify.stage(words)
        self._parts.append((words, self._clock()))

    def beside(self, words: str, seconds: float) -> None:
        """What took so long at the same time as others."""
        self._beside.append(f"{words} {seconds:.1f}")

    def told(self) -> str:
        """Seconds of all, and of each part."""
        now = self._clock()
        ends = [began for _, began in self._parts[1:]] + [now]
        parts = [f"{words} {end - began:.1f}" for (words, began), end in zip(self._parts, ends, strict=True)]
        beside = f"; meanwhile {', '.join(self._beside)}" if self._beside else ""
        return f"{now - self._began:.1f} s: {', '.join(parts)}{beside}"
