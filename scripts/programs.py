"""Programs that pip does not have: where they are, and how they run beside this process."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scripts.bound import start_bound

_PATIENCE_S = 30.0


class MissingProgram(RuntimeError):
    """It is not installed; the message says how it would be."""


def found(*names: str) -> str:
    """Path of the first of these programs that is installed.

    Raises:
        MissingProgram: none is.
    """
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise MissingProgram(
        f"{names[0]} is not installed: apt-get install prometheus prometheus-redis-exporter prometheus-alertmanager"
    )


@contextmanager
def process(command: list[str], log: Any) -> Iterator[None]:
    """A program that runs until the block is left; its name with a path."""
    running = start_bound(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for(url: str) -> None:
    """Return when a page answers.

    Raises:
        OSError: it doesn't for half a minute.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)
