"""Lines of a kind that comes too often: a few a second are written, and one tells how many were not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable


class Sampler:
    """Lets ``per_second`` of each kind through; calls ``tell(kind, left_out)`` once for each second that had more.

    Thread-safe. ``tell`` is called from a thread of its own, when the second is over: what is left out of the last
    one is told too.
    """

    def __init__(self, per_second: int, tell: Callable[[str, int], None], clock: Callable[[], float] = time.monotonic):
        self._per_second = per_second
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._began = -1.0
        self._seen: dict[str, int] = {}
        self._due: threading.Timer | None = None

    def admits(self, kind: str) -> bool:
        """Whether this one is to be written."""
        with self._lock:
            now = self._clock()
            if self._due is None and now - self._began >= 1:
                self._began, self._seen = now, {}
            self._seen[kind] = self._seen.get(kind, 0) + 1
            if self._seen[kind] <= self._per_second:
                return True
            if self._due is None:
                self._due = threading.Timer(max(0.0, self._began + 1 - now), self._end)
                self._due.daemon = True
                self._due.start()
            return False

    def _end(self) -> None:
        with self._lock:
            seen, self._seen, self._began, self._due = self._seen, {}, self._clock(), None
        for kind, count in seen.items():
            if count > self._per_second:
                self._tell(kind, count - self._per_second)


class FewLines(logging.Filter):
    """Of what one place in the code writes to ``logger``, ``per_second`` lines, and one about the rest."""

    def __init__(self, logger: str, per_second: int) -> None:
        super().__init__()
        self._logger = logging.getLogger(logger)
        self._sampler = Sampler(per_second, self._tell)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        return record.pathname == __file__ or self._sampler.admits(f"{record.filename}:{record.lineno} {error}".strip())

    def _tell(self, kind: str, left_out: int) -> None:
        self._logger.warning("%d more lines like those of %s were left out", left_out, kind)
