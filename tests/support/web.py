"""A web server of this machine, for what fetches."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

LOOPBACK = "127.0.0.1"


class Names(AbstractResolver):
    """Looks names up in a table: each time the next of what it has for one, the last again and again."""

    def __init__(self, **table: Any) -> None:
        self._table = {name.replace("_", "."): list(answers) for name, answers in table.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self._table.get(host)
        if not answers:
            raise OSError(f"{host} is not in the table")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0)
            for each in ([found] if isinstance(found, str) else found)
        ]

    async def close(self) -> None:
        """Nothing."""


@asynccontextmanager
async def server(**pages: Callable[[web.Request], Any]) -> AsyncIterator[int]:
    """Serves each page under its name; the port."""
    app = web.Application()
    for name, page in pages.items():
        app.router.add_get(f"/{name}", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
