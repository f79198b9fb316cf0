"""How a command about many questions ends. Of Ctrl-C and SIGTERM the first lets finish what is in flight, the second
does not wait for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType
from typing import Any

SOME_FAILED = 3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Attributes:
    status: of the process that was told to stop; 0 as long as nobody has.
    """

    def __init__(self) -> None:
        self.status = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # Who has it ignored, as `nohup` and a shell's & do, means it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        if self.status:
            raise KeyboardInterrupt
        self.status = 128 + number
        try:
            # Not by print, which it may have interrupted. On a terminal ^C stands in the line.
            start = b"\n" if sys.stderr.isatty() else b""
            os.write(sys.stderr.fileno(), start + b"finishing what is in flight; once more stops at once\n")
        except (OSError, ValueError):
            return
