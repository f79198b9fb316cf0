"""One chat completion, from a request's bytes to the last of its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.common.admission import Admission
from services.common.gate import Gate
from services.common.http_call import HttpCall
from services.llm.answer import Bill, Delta
from services.llm.chat import ChatPipeline
from services.llm.doors.openai import addresses, answer, body, fields, request
from services.llm.doors.openai.answer import Head
from services.llm.doors.openai.exchange import Exchange
from services.llm.job import ChatJob
from services.llm.web.fetcher import ImageFetcher

if TYPE_CHECKING:
    from starlette.types import Send


@dataclass(frozen=True)
class Door:
    """What all completions of a replica share; see ``routes.application``."""

    gate: Gate
    admission: Admission
    uploads: Admission
    chat: ChatPipeline
    fetcher: ImageFetcher
    model: str
    detail: bool
    max_images: int
    timeout_s: float

    async def read(self, data: bytes) -> request.Asked:
        """What a body asks for.

        Raises:
            ServiceError: it is no request, or of another model.
        """
        # Megabytes of base64 would keep the loop from everybody else's tokens.
        return await asyncio.to_thread(self._parse, data)

    async def job(self, asked: request.Asked) -> ChatJob:
        """For the heart, with what is named by its address fetched; see ``addresses.fetched``."""
        return await addresses.fetched(asked, self.fetcher, self.max_images)

    def _parse(self, data: bytes) -> request.Asked:
        asked = request.parse(body.read(data), self.fetcher, self.detail)
        if asked.model and asked.model != self.model:
            raise fields.no_such_model(asked.model, self.model)
        return asked


class Completion(Exchange):
    """See ``Exchange``.

    Args:
        door: of the replica.
        call: the request.
        data: its body.
    """

    def __init__(self, door: Door, call: HttpCall, data: bytes) -> None:
        super().__init__(call, door.timeout_s)
        self._door = door
        self._data = data

    async def answer(self, send: Send) -> None:
        door = self._door
        with door.gate.guard(self._call) as serving:
            asked = await door.read(self._data)
            words, job, more = asked.words, asked.job, 0
            if asked.addresses:
                # Before its turn: a host that says nothing for a while holds no place in the engine.
                async with door.uploads.turn(serving, self._call.bytes_in):
                    with words.telling():
                        job = await door.job(asked)
                more = sum(len(image.data or b"") for _, image in job.images)
            async with door.admission.turn(serving, self._call.bytes_in + more):
                pieces = words.told(door.chat.generate(job))
                head = Head(f"chatcmpl-{self._call.request_id}", int(time.time()), door.model)
                async with aclosing(pieces):  # type: ignore[type-var]
                    tell = self._stream if asked.stream else self._whole
                    await tell(pieces, asked, head, send)

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
            end = answer.chunk(
                head,
                finish=piece.finish_reason,
                taken=taken,
                with_usage=wanted,
                explanations=piece.explanations,
            )
            await self._send(send, end)
            if wanted:
                await self._send(send, answer.last(head, piece))
            await self._send(send, answer.DONE, more=False)
