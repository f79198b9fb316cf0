"""What is waited for, on a terminal: one line that goes when there is something to show."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType
from typing import Any, NoReturn

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from heroserve.cli.output import console


class Waiting:
    """A spinner, the stage and the seconds on stderr.

    Args:
        wanted: False shows nothing; nor does anything but a terminal that can move its cursor.
    """

    def __init__(self, wanted: bool) -> None:
        self._progress: Progress | None = None
        self._on_end: Any = None
        if wanted and can_move():
            screen = console(stderr=True, soft_wrap=False)
            unicode = (screen.encoding or "").lower().startswith("utf")
            self._progress = Progress(
                SpinnerColumn("dots" if unicode else "line"),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=screen,
                transient=True,
                # What is written meanwhile goes where it went.
                redirect_stdout=False,
                redirect_stderr=False,
            )

    def stage(self, text: str) -> None:
        """What is waited for from now on."""
        if self._progress is None:
            return
        if self._progress.tasks:
            self._progress.update(self._progress.tasks[0].id, description=text)
        else:
            self._progress.add_task(text, total=None)
            self._progress.start()
            if threading.current_thread() is threading.main_thread():
                # Who is ended meanwhile gives the cursor back first.
                self._on_end = signal.signal(signal.SIGTERM, end)

    def done(self) -> None:
        """There is something to show. Harmless a second time."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            if self._on_end is not None:
                signal.signal(signal.SIGTERM, self._on_end)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()


def end(number: int, frame: object) -> NoReturn:
    """A signal's handler: what is shown is put back on the way out."""
    sys.exit(128 + number)


def can_move() -> bool:
    """Whether stderr is a terminal that can write over what it shows."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
