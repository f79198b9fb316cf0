"""Waiting for what comes true by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def until(condition: Callable[[], object], timeout_s: float, pause_s: float = 1.0) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(pause_s)
    return False


async def until_true(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait for what this process itself brings about; the time-out is for what never comes."""

    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 -- another thread brings it about, and has no loop to tell
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), timeout_s)
