"""The asynchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import TracebackType

import grpc
from typing_extensions import Unpack

from heroserve import methods
from heroserve.images import ImageSource
from heroserve.requests import EncodeOptions, GenerateOptions, ask_request, encode_request
from heroserve.results import Answer
from heroserve.retry import RetryPolicy
from heroserve.streams import AsyncStream
from heroserve.terms import CallOptions, Terms
from heroserve.token_streams import AsyncTokenStream
from heroserve.transport.aio_rpc import AsyncConnection
from heroserve.transport.peer import Peer
from heroserve.v1.chat_pb2 import ChatDescription, DescribeChatRequest, GenerateRequest
from heroserve.v1.encoder_pb2 import DescribeEncoderRequest, EncoderDescription, VisualTokens


class AsyncClient:
    """As `Client`, for asyncio; belongs to the event loop of its first call.

        async with AsyncClient("llm.example:9001") as client:
            answer = await client.ask("receipt.jpg", "What was the total?", retention=0.2)

    Images are read and hashed in a thread. A bad image or budget surfaces when a stream is first iterated.
    """

    def __init__(
        self,
        target: str = "localhost:9001",
        *,
        encoder_target: str = "localhost:9000",
        api_key: str | None = None,
        tls: bool | grpc.ChannelCredentials = False,
        timeout_s: float = 120.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        max_connection_age_s: float = 60.0,
    ) -> None:
        self._llm = AsyncConnection(Peer(target, api_key, tls, timeout_s, retry, max_connection_age_s))
        self._encoder = AsyncConnection(Peer(encoder_target, api_key, tls, timeout_s, retry, max_connection_age_s))

    async def ask(
        self,
        image: ImageSource | None,
        question: str,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        trace: Mapping[str, str] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Answer:
        """The whole answer to one question about one image, or about none; see `GenerateOptions`."""
        return await self.stream(
            image, question, timeout_s=timeout_s, request_id=request_id, trace=trace, **options
        ).read()

    def stream(
        self,
        image: ImageSource | None,
        question: str,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        trace: Mapping[str, str] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncStream:
        """The same while it is written."""
        build = partial(ask_request, image, question, **options)
        return AsyncStream(self._llm.stream(methods.GENERATE, build, Terms(timeout_s, request_id, trace)))

    def generate(self, request: GenerateRequest, **call: Unpack[CallOptions]) -> AsyncStream:
        """Go on with any conversation; `heroserve.generate_request` builds one."""
        return AsyncStream(self._llm.stream(methods.GENERATE, lambda: request, Terms(**call)))

    async def encode(
        self,
        image: ImageSource,
        question: str,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        trace: Mapping[str, str] | None = None,
        **options: Unpack[EncodeOptions],
    ) -> VisualTokens:
        """The visual tokens worth keeping for a question, in one message; see `EncodeOptions`."""
        build = partial(encode_request, image, question, **options)
        return await self._encoder.unary(methods.ENCODE, build, Terms(timeout_s, request_id, trace))

    def encode_stream(
        self,
        image: ImageSource,
        question: str,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        trace: Mapping[str, str] | None = None,
        **options: Unpack[EncodeOptions],
    ) -> AsyncTokenStream:
        """The same tile by tile, in small messages, however many rows there are; an older encoder can't."""
        build = partial(encode_request, image, question, **options)
        return AsyncTokenStream(self._encoder.stream(methods.ENCODE_STREAM, build, Terms(timeout_s, request_id, trace)))

    async def describe(self, **call: Unpack[CallOptions]) -> ChatDescription:
        """What the LLM service runs."""
        return await self._llm.unary(methods.DESCRIBE, DescribeChatRequest, Terms(**call))

    async def describe_encoder(self, **call: Unpack[CallOptions]) -> EncoderDescription:
        """What the vision encoder runs."""
        return await self._encoder.unary(methods.DESCRIBE_ENCODER, DescribeEncoderRequest, Terms(**call))

    async def close(self) -> None:
        """Cancel what runs and disconnect."""
        await self._llm.close()
        await self._encoder.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
