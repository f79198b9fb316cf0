"""What any service behind Serve stands on: one that answers with bytes it was given, and one that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from heroserve.v1.chat_pb2 import GenerateRequest, GenerateResponse
from heroserve.v1.encoder_pb2 import EncodeRequest, VisualTokens
from heroserve.v1.encoder_pb2_grpc import VisionEncoderStub

# As the SDK has them.
OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


class Echo:
    """``VisionEncoder.Encode``, by a canned reply."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    async def Encode(self, request: EncodeRequest) -> VisualTokens:
        return VisualTokens.FromString(self._reply)


class Chain:
    """``VisionChat.Generate``, by two pieces once an ``Echo`` has answered."""

    def __init__(self, target: str, application: str) -> None:
        self._application = application
        self._stub: Any = VisionEncoderStub(grpc.aio.insecure_channel(target, options=OPTIONS))

    async def Generate(self, request: GenerateRequest) -> AsyncIterator[GenerateResponse]:
        image, text = request.messages[0].parts
        asked = EncodeRequest(image=image.image, question=text.text, budget=request.budget)
        answer = await self._stub.Encode(asked, metadata=[("application", self._application)])
        yield GenerateResponse(delta="t")
        yield GenerateResponse(savings=answer.savings)
