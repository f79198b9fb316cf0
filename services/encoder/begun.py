"""Work that may be called off until it has begun, and is worth its end from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless_begun(work: Coroutine[Any, Any, T], begun: asyncio.Event) -> T:
    """Await ``work``. Who is cancelled calls it off; once ``begun`` is set it goes on, and so does who awaits it."""
    task = asyncio.ensure_future(work)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            if not begun.is_set():
                task.cancel()
                await asyncio.wait({task})
                raise
