"""What ends a command: Ctrl-C, SIGTERM, a closed terminal; once in peace, twice at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from services.common import parent

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """The first signal raises SystemExit wherever this process is, each later one only asks for more haste.

    Attributes:
        number: of the first signal, None before it.
        hurried: another came.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.hurried = False
        self._stopping = False

    def install(self) -> None:
        """From now on; on the main thread. Where make started us, make's end is one too."""
        for number in _NUMBERS:
            # nohup has it ignored.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on)
        if "MAKELEVEL" in os.environ:
            # It starts us itself, or a shell that becomes us. Who starts us by hand may go, as from a script.
            parent.end_with(os.getppid(), signal.SIGTERM)

    def begin(self) -> None:
        """Stopping has begun: no signal interrupts it any more."""
        self._stopping = True

    def _on(self, number: int, _: FrameType | None) -> None:
        if self.number is not None or self._stopping:
            self.hurried = True
            return
        self.number = number
        self._stopping = True
        sys.exit(128 + number)
