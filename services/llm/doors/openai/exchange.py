"""One chat completion over HTTP, from a request's bytes to the last of its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from services.common.admission import Admission
from services.common.errors import DeadlineExceeded, ServiceError
from services.common.gate import Gate
from services.common.http_call import REQUEST_ID, HttpCall, headers, told
from services.llm.answer import Bill, Delta
from services.llm.chat import ChatPipeline
from services.llm.doors.openai import answer, body, fields, request
from services.llm.doors.openai.answer import Head

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


@dataclass(frozen=True)
class Door:
    """What all exchanges of a replica share; see ``routes.application``."""

    gate: Gate
    admission: Admission
    chat: ChatPipeline
    model: str
    detail: bool
    timeout_s: float

    def parse(self, data: bytes) -> request.Asked:
        """Raises:
        ServiceError: it is no request, or of another model.
        """
        asked = request.parse(body.read(data), self.detail)
        if asked.model and asked.model != self.model:
            raise fields.no_such_model(asked.model, self.model)
        return asked


class Exchange(Response):
    """Answers by itself, in a task that ends with its caller: one who hangs up frees the engine.

    Args:
        door: of the replica.
        call: the request.
        data: its body.
    """

    def __init__(self, door: Door, call: HttpCall, data: bytes) -> None:
        super().__init__()
        self._door = door
        self._call = call
        self._data = data
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left_s = min(self._call.remaining_s, self._door.timeout_s)
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
            with self._door.gate.guard(self._call) as serving:
                # Megabytes of base64 would keep the loop from everybody else's tokens.
                asked = await asyncio.to_thread(self._door.parse, self._data)
                async with self._door.admission.turn(serving, self._call.bytes_in):
                    pieces = fields.words(asked.limit).told(self._door.chat.generate(asked.job))
                    head = Head(f"chatcmpl-{self._call.request_id}", int(time.time()), self._door.model)
                    async with aclosing(pieces):  # type: ignore[type-var]
                        tell = self._stream if asked.stream else self._whole
                        await tell(pieces, asked, head, send)
        except ServiceError as error:
            await self._fail(error, send)

    async def _whole(self, pieces: AsyncIterator[Delta | Bill], asked: request.Asked, head: Head, send: Send) -> None:
        text = ""
        async for piece in pieces:
            if isinstance(piece, Delta):
                text += piece.text
            else:
                await self._begin(send, b"application/json")
                await self._send(send, answer.completion(head, text, piece), more=False)

    async def _stream(self, pieces: AsyncIterator[Delta | Bill], asked: request.Asked, head: Head, send: Send) -> None:
        wanted = asked.usage
        async for piece in pieces:
            if not self._begun:
                # Not before: what is refused has a status of its own.
                await self._begin(send, b"text/event-stream; charset=utf-8")
                await self._send(send, answer.chunk(head, "", role=True, with_usage=wanted))
            taken = answer.usage(piece.usage) if asked.usage_throughout else None
            if isinstance(piece, Delta):
                await self._send(send, answer.chunk(head, piece.text, taken=taken, with_usage=wanted))
                continue
            await self._send(send, answer.chunk(head, finish=piece.finish_reason, taken=taken, with_usage=wanted))
            if wanted:
                await self._send(send, answer.last(head, piece))
            await self._send(send, answer.DONE, more=False)

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
