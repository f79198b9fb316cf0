"""Requests as bytes made beforehand, and replies that nobody reads: callers share the cores with what they ask."""

from __future__ import annotations

import io
from functools import partial
from itertools import count
from typing import Any

import grpc
from PIL import Image as Picture

from benchmarks.growth.gauge import Ask
from benchmarks.growth.kinds import GRIDS
from benchmarks.growth.service import ECHO
from heroserve import methods
from heroserve.requests import ask_request
from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.tokens_pb2 import Budget, Image
from scripts.stack import PICTURE, ROOT

RETENTION = 0.2
ANSWER = 8
_QUESTION = "what is the total?"
_PATIENCE_S = 600
_OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


class Callers:
    """Args:
    port: of the proxy.
    tile: its side in pixels.
    """

    def __init__(self, port: int, tile: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"localhost:{port}", options=_OPTIONS)
        self._encode: Any = self._channel.unary_unary(methods.ENCODE.path)
        self._generate: Any = self._channel.unary_stream(methods.GENERATE.path)
        self._tile = tile
        self._numbers = count()

    async def close(self) -> None:
        await self._channel.close()

    def picture(self, tiles: int) -> bytes:
        """A file that nobody has seen, of so many local tiles: bytes behind a PNG's end change its digest alone."""
        rows, columns = GRIDS[tiles]
        buffer = io.BytesIO()
        with Picture.open(ROOT / PICTURE) as whole:
            whole.convert("RGB").resize((columns * self._tile, rows * self._tile)).save(buffer, "PNG")
        return buffer.getvalue() + next(self._numbers).to_bytes(8, "little")

    def encoding(self, picture: bytes, application: str = "encoder", question: str = _QUESTION) -> Ask:
        """The encoder, or the echo, is asked for it."""
        request = EncodeRequest(image=Image(data=picture), question=question, budget=Budget(retention=RETENTION))
        return partial(self._size, request.SerializeToString(), application)

    def echoing(self, picture: bytes, question: str) -> Ask:
        return self.encoding(picture, ECHO, question)

    async def reply(self, picture: bytes) -> bytes:
        """What the encoder says of it."""
        request = EncodeRequest(image=Image(data=picture), question=_QUESTION, budget=Budget(retention=RETENTION))
        return await self._call(request.SerializeToString(), "encoder")

    def answering(self, picture: bytes, number: int) -> Ask:
        """The LLM service is asked the question of that number about it."""
        question = f"{_QUESTION} of page {number}"
        request = ask_request(picture, question, retention=RETENTION, max_tokens=ANSWER).SerializeToString()

        async def ask() -> int:
            call = self._generate(request, timeout=_PATIENCE_S, metadata=(("application", "llm"),))
            return sum([len(message) async for message in call])

        return ask

    async def _size(self, request: bytes, application: str) -> int:
        return len(await self._call(request, application))

    async def _call(self, request: bytes, application: str) -> bytes:
        reply: bytes = await self._encode(request, timeout=_PATIENCE_S, metadata=(("application", application),))
        return reply
