"""Waiting for what another machine says, for so long and no longer: a timeout of a socket's is of one read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def patiently(work: Callable[[], T], seconds: float, progress: Callable[[], object] = lambda: None) -> T:
    """What ``work`` returns. It is done in a thread of its own, which is left to itself when it is given up.

    Args:
        work: to do.
        seconds: longest it may take without progress.
        progress: changes when there is some; by default there is none, and the whole must be done within that time.

    Raises:
        TimeoutError: it is given up.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised below
            outcome.set_exception(error)

    before = progress()
    # A daemon: nobody waits for it at the end.
    threading.Thread(target=run, name="patiently", daemon=True).start()
    while not wait([outcome], seconds).done:
        now = progress()
        if now == before:
            raise TimeoutError(f"nothing more has come in {seconds:g} s")
        before = now
    return outcome.result()
