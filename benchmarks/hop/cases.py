"""What is asked, by name: an answer of our own, and the echo that it stands beside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from benchmarks.hop.echoes import OPTIONS
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part, Sampling
from heroserve.v1.chat_pb2_grpc import VisionChatStub
from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens
from heroserve.v1.encoder_pb2_grpc import VisionEncoderStub
from heroserve.v1.tokens_pb2 import Budget, Image

Ask = Callable[[], Awaitable[Any]]
QUESTION = "What is the total?"


class Port:
    """Serve's, asked by one connection.

    Args:
        address: HOST:PORT.
        digest: of a known image.
        retention: asked for.
    """

    def __init__(self, address: str, digest: str, retention: float) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._encoder: Any = VisionEncoderStub(self._channel)
        self._chat: Any = VisionChatStub(self._channel)
        image, budget = Image(digest=digest), Budget(retention=retention)
        self._encode = EncodeRequest(image=image, question=QUESTION, budget=budget)
        parts = [Part(image=image), Part(text=QUESTION)]
        messages = [Message(role=Message.USER, parts=parts)]
        self._generate = GenerateRequest(messages=messages, budget=budget, sampling=Sampling(max_tokens=1))

    def cases(self) -> dict[str, tuple[Ask, Ask]]:
        """By name: ours, and its echo."""
        return {
            "a hit": (lambda: self.encode("encoder"), lambda: self.encode("echo")),
            "a question": (lambda: self.generate("llm"), lambda: self.generate("chain")),
        }

    async def encode(self, application: str, image: Image | None = None) -> VisualTokens:
        """About the known image, or another."""
        request = self._encode
        if image is not None:
            request = EncodeRequest(image=image, question=QUESTION, budget=request.budget)
        tokens: VisualTokens = await self._encoder.Encode(request, metadata=_to(application), timeout=600)
        return tokens

    async def generate(self, application: str) -> None:
        async for _ in self._chat.Generate(self._generate, metadata=_to(application), timeout=600):
            pass

    async def close(self) -> None:
        await self._channel.close()


def _to(application: str) -> list[tuple[str, str]]:
    return [("application", application)]
