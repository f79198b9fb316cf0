"""The synchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import grpc
from typing_extensions import Unpack

from heroserve import methods
from heroserve.images import ImageSource
from heroserve.requests import EncodeOptions, GenerateOptions, ask_request, encode_request
from heroserve.results import Answer
from heroserve.retry import RetryPolicy
from heroserve.streams import Stream
from heroserve.terms import CallOptions, Terms
from heroserve.token_streams import TokenStream
from heroserve.transport.peer import Peer
from heroserve.transport.rpc import Connection
from heroserve.v1.chat_pb2 import ChatDescription, DescribeChatRequest, GenerateRequest
from heroserve.v1.encoder_pb2 import DescribeEncoderRequest, EncoderDescription, VisualTokens


class Client:
    """Asks questions about images. Thread-safe; connects on first use, stays connected until closed.

        with Client("llm.example:9001") as client:
            print(client.ask("receipt.jpg", "What was the total?", retention=0.2).text)

    An image the service has seen from this client is sent as its digest, and again whole if the service
    has let go of it. Every method raises HeroserveError for a failed call, ImageError for an image that can't
    be sent, ArgumentError for what else no request can be made of, such as two budgets at once.

    Every method takes the keywords of `CallOptions` too: `timeout_s`, `request_id`, `trace`.

    Args:
        target: HOST:PORT of the LLM service.
        encoder_target: HOST:PORT of the vision encoder; `encode`, `encode_stream` and `describe_encoder` go there,
            wherever `target` is.
        api_key: sent as a bearer token when given.
        tls: False for plaintext, True for the system's root certificates, or credentials of your own.
        timeout_s: seconds a call may take, retries and their pauses included; each method can override it.
        retry: what to do when a service is unreachable or overloaded.
        max_connection_age_s: seconds after which the next call has the targets' names looked up again, to find
            servers that were added or moved, and new connections take over once they are up. What runs on the
            old ones goes on to its end. float("inf") for never.
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
        self._llm = Connection(Peer(target, api_key, tls, timeout_s, retry, max_connection_age_s))
        self._encoder = Connection(Peer(encoder_target, api_key, tls, timeout_s, retry, max_connection_age_s))

    def ask(
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
        return self.stream(image, question, timeout_s=timeout_s, request_id=request_id, trace=trace, **options).read()

    def stream(
        self,
        image: ImageSource | None,
        question: str,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        trace: Mapping[str, str] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Stream:
        """The same while it is written."""
        return self.generate(
            ask_request(image, question, **options), timeout_s=timeout_s, request_id=request_id, trace=trace
        )

    def generate(self, request: GenerateRequest, **call: Unpack[CallOptions]) -> Stream:
        """Go on with any conversation; `heroserve.generate_request` builds one."""
        return Stream(self._llm.stream(methods.GENERATE, request, Terms(**call)))

    def encode(
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
        request = encode_request(image, question, **options)
        return self._encoder.unary(methods.ENCODE, request, Terms(timeout_s, request_id, trace))

    def encode_stream(
        self,
        image: ImageSource,
        question: str,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        trace: Mapping[str, str] | None = None,
        **options: Unpack[EncodeOptions],
    ) -> TokenStream:
        """The same tile by tile, in small messages, however many rows there are; an older encoder can't."""
        request = encode_request(image, question, **options)
        return TokenStream(self._encoder.stream(methods.ENCODE_STREAM, request, Terms(timeout_s, request_id, trace)))

    def describe(self, **call: Unpack[CallOptions]) -> ChatDescription:
        """What the LLM service runs."""
        return self._llm.unary(methods.DESCRIBE, DescribeChatRequest(), Terms(**call))

    def describe_encoder(self, **call: Unpack[CallOptions]) -> EncoderDescription:
        """What the vision encoder runs."""
        return self._encoder.unary(methods.DESCRIBE_ENCODER, DescribeEncoderRequest(), Terms(**call))

    def close(self) -> None:
        """Cancel what runs and disconnect."""
        self._llm.close()
        self._encoder.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
