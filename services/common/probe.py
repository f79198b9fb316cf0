"""A look at what may take long, or never end, without waiting for it: an accelerator that others work on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Probe:
    """Checks again and again, in a thread of its own, each check begun by the look that finds the last one ended.

    Args:
        check: raises if something is wrong.
        patience_s: a check that takes longer is a failure: whatever it waits for has stopped.
    """

    def __init__(self, check: Callable[[], None], patience_s: float = 60.0) -> None:
        self._check = check
        self._patience_s = patience_s
        self._thread: threading.Thread | None = None
        self._begun = 0.0
        self._failure: Exception | None = None

    def look(self) -> None:
        """Return at once.

        Raises:
            Exception: what the last check that ended raised.
            TimeoutError: the one under way has lost our patience.
        """
        if self._thread is not None and self._thread.is_alive():
            taken_s = time.monotonic() - self._begun
            if taken_s > self._patience_s:
                raise TimeoutError(f"no answer from the accelerator for {taken_s:.0f} s")
        else:
            if self._failure is not None:
                raise self._failure
            self._begun = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="heroserve-probe", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._check()
        except Exception as error:  # noqa: BLE001 - none is lost: the next look raises it
            self._failure = error
