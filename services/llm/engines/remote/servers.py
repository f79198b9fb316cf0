"""Several servers: which one gets a request, and which are left out until they are back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from services.common.waiting import WAITING
from services.llm.engines.remote.agreement import Terms
from services.llm.engines.remote.failure import Failure
from services.llm.engines.remote.preference import preferred
from services.llm.engines.remote.server import Server

# Between looks at a server: how it is, and whether one that was left out is back.
_LOOK_S = 3.0
# No server gets more than so many times its share, however many ask about one image; and so many are never too many.
_UNEVEN, _FEW = 1.25, 8

_WAITING = WAITING.labels(where="engine")

logger = logging.getLogger(__name__)


class Servers:
    """All that there are.

    Args:
        servers: to choose from.
        slots: requests that each is sent at once.
        terms: that a server must agree to before it is sent any request.
    """

    def __init__(self, servers: Sequence[Server], slots: int, terms: Terms) -> None:
        self.all = {server.url: server for server in servers}
        self._slots = slots
        self.waiting = 0
        self.terms = terms
        self._changed = asyncio.Condition()
        self._closed = False
        self._looks: list[asyncio.Task[None]] = []
        self._now = {server.url: asyncio.Event() for server in servers}

    @property
    def up(self) -> list[Server]:
        return [server for server in self.all.values() if server.failure is None]

    @property
    def failure(self) -> Failure | None:
        """Why nobody would be answered; None if somebody would. What is to be mended goes before what passes."""
        failures = [server.failure for server in self.all.values()]
        return None if None in failures else min(filter(None, failures), key=lambda failure: failure.passes)

    async def begin(self) -> None:
        """Ask all of them once, and from then on again and again."""
        await asyncio.gather(*(self._look(server) for server in self.all.values()))
        self._looks = [asyncio.create_task(self._watch(server)) for server in self.all.values()]

    async def close(self) -> None:
        # Python's wait_for may lose a cancellation that comes with what it waits for.
        self._closed = True
        for look in self._looks:
            look.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    @asynccontextmanager
    async def one(self, key: bytes, without: Collection[Server] = ()) -> AsyncIterator[Server | None]:
        """The best of those that are up and have room, waiting for room; None where none is up.

        Args:
            key: requests of the same go to the same one.
            without: those that were tried.
        """
        server = await self._take(key, without)
        try:
            yield server
        finally:
            if server is not None:
                server.under_way -= 1
                async with self._changed:
                    self._changed.notify_all()

    async def doubt(self, server: Server, failure: Failure) -> None:
        """It has failed: it is asked again at once, and left out until then where it takes no requests now."""
        server.doubted = True
        if failure.lost:
            await self._set(server, failure)
        else:
            logger.info("%s", failure)
        self._now[server.url].set()

    async def _take(self, key: bytes, without: Collection[Server]) -> Server | None:
        waits = False
        try:
            async with self._changed:
                while True:
                    up = [server for server in self.up if server not in without]
                    if not up:
                        return None
                    share = _UNEVEN * (1 + sum(server.under_way for server in up)) / len(up)
                    most = min(self._slots, max(_FEW, math.ceil(share)))
                    for url in preferred(key, [server.url for server in up]):
                        if self.all[url].under_way < most:
                            self.all[url].under_way += 1
                            return self.all[url]
                    if not waits:
                        waits = True
                        self.waiting += 1
                        _WAITING.inc()
                    await self._changed.wait()
        finally:
            if waits:
                self.waiting -= 1
                _WAITING.dec()

    async def _watch(self, server: Server) -> None:
        now = self._now[server.url]
        while not self._closed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(now.wait(), _LOOK_S)
            now.clear()
            if self._closed:
                return
            try:
                await self._look(server)
            except Exception:  # a bug, which must not be the end of looking
                logger.exception("vLLM at %s could not be looked at", server.url)

    async def _look(self, server: Server) -> None:
        """How it is now."""
        began = time.monotonic()
        try:
            if server.failure is None and not server.doubted:
                await server.check()
            else:
                await server.agree(self.terms)
        except Failure as failure:
            # One with much to do may be slow to say how it is.
            if server.failure is not None or server.doubted or server.heard < began:
                await self._set(server, failure)
            return
        await self._set(server, None)

    async def _set(self, server: Server, failure: Failure | None) -> None:
        before, server.failure = server.failure, failure
        if failure is None and before is not None:
            logger.info("vLLM at %s answers as the model should: %s", server.url, server.model)
        elif failure is not None and (before is None or str(before) != str(failure)):
            logger.warning("left out until it is well: %s", failure)
        async with self._changed:
            self._changed.notify_all()
