"""One request over HTTP that is worked on, from its first turn to the last of its answer."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from starlette.responses import Response

from services.common.errors import DeadlineExceeded, ServiceError
from services.common.http_call import REQUEST_ID, HttpCall, headers, told
from services.llm.doors.openai import answer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class Exchange(Response):
    """Answers by itself, in a task that ends with its caller: one who hangs up frees what works for him.

    Args:
        call: the request.
        timeout_s: longest it may take.
    """

    def __init__(self, call: HttpCall, timeout_s: float) -> None:
        super().__init__()
        self._call = call
        self._timeout_s = timeout_s
        self._begun = False

    @abstractmethod
    async def answer(self, send: Send) -> None:
        """Do what is asked for, and tell it.

        Raises:
            ServiceError: it can't be done, or not to its end.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left_s = min(self._call.remaining_s, self._timeout_s)
        work = asyncio.ensure_future(self._work(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({work, gone}, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED)
            late = not work.done() and not gone.done()
        finally:
            gone.cancel()
            work.cancel()
            # Until its turn and its place in the engine are given back.
            await asyncio.wait({work})
        if gone.done() and not gone.cancelled():
            # Ray's way to say that it has lost its caller may be an error; it is told by what becomes of the work.
            gone.exception()
        if late:
            await self._fail(DeadlineExceeded("the deadline has passed"), send)
        if not work.cancelled():
            work.result()

    async def _work(self, send: Send) -> None:
        try:
            await self.answer(send)
        except ServiceError as error:
            await self._fail(error, send)

    async def _begin(self, send: Send, kind: bytes) -> None:
        self._begun = True
        named = [(b"content-type", kind), (b"cache-control", b"no-store")]
        # nginx, and who has it from there, would keep a stream back until it has some pages of it.
        named.append((b"x-accel-buffering", b"no"))
        named.append((REQUEST_ID.encode(), self._call.request_id.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": named})

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": self._call.answered(data), "more_body": more})

    async def _fail(self, error: ServiceError, send: Send) -> None:
        if self._begun:
            await self._send(send, answer.failure(error), more=False)
            return
        status, data = told(error)
        await send({"type": "http.response.start", "status": status, "headers": headers(error, self._call.request_id)})
        await self._send(send, data, more=False)


async def _gone(receive: Receive) -> None:
    """Returns when the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
