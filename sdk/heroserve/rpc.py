"""The choke point: every RPC goes through `unary` or `stream` of a connection, and by `Call`'s decisions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic

import grpc

from heroserve.call import Call
from heroserve.channel import address, open_channel
from heroserve.digests import SentImages
from heroserve.errors import Cancelled
from heroserve.methods import Method, Request, Response
from heroserve.retry import RetryPolicy


@dataclass(frozen=True)
class Peer:
    """A service to call, and how. Raises ValueError for a target that is not HOST:PORT."""

    target: str
    api_key: str | None = field(repr=False)
    tls: bool | grpc.ChannelCredentials
    timeout_s: float
    retry: RetryPolicy
    sent: SentImages = field(default_factory=SentImages)

    def __post_init__(self) -> None:
        address(self.target)

    def call(self, method: Method[Request, Response], request: Request, timeout_s: float | None) -> Call[Request]:
        """A new call; its deadline starts now."""
        return Call(
            method.application,
            request,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            retry=self.retry,
            api_key=self.api_key,
            sent=self.sent,
        )


class Connection:
    """A channel to one service, opened by the first call. Thread-safe."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._closed = False

    def unary(self, method: Method[Request, Response], request: Request, timeout_s: float | None) -> Response:
        """The one response; raises HeroserveError."""
        call = self._peer.call(method, request, timeout_s)
        while True:
            rpc = self.open().unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
            try:
                response: Response = rpc(call.request, timeout=call.start(), metadata=call.metadata)
            except grpc.RpcError as failure:
                time.sleep(call.failed(failure))
            else:
                call.succeeded(response)
                return response

    def stream(
        self, method: Method[Request, Response], request: Request, timeout_s: float | None
    ) -> Responses[Request, Response]:
        """The responses as they come; nothing is sent before the first is asked for."""
        return Responses(self, method, lambda: self._peer.call(method, request, timeout_s))

    def close(self) -> None:
        """Cancel what runs and disconnect; no call is possible after it."""
        with self._lock:
            self._closed = True
            if self._channel is not None:
                self._channel.close()

    def open(self) -> grpc.Channel:
        """The channel, connecting or connected. Raises RuntimeError after `close`."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            if self._channel is None:
                self._channel = open_channel(self._peer.target, self._peer.tls)
            return self._channel


class Responses(Generic[Request, Response]):
    """The responses of one call. Iterate once; `cancel` from any thread."""

    def __init__(
        self,
        connection: Connection,
        method: Method[Request, Response],
        start: Callable[[], Call[Request]],
    ) -> None:
        self._connection = connection
        self._method = method
        self._start = start
        self._cancelled = threading.Event()
        self._running: grpc.Call | None = None
        self._responses = self._run()

    def __iter__(self) -> Iterator[Response]:
        return self._responses

    def cancel(self) -> None:
        """End the call, here and in the service: whoever iterates gets Cancelled. Harmless when over."""
        self._cancelled.set()
        if self._running is not None:
            self._running.cancel()

    def _run(self) -> Iterator[Response]:
        call = self._start()
        method = self._method
        while not self._cancelled.is_set():
            rpc = self._connection.open().unary_stream(
                method.path, method.request.SerializeToString, method.response.FromString
            )
            responses = rpc(call.request, timeout=call.start(), metadata=call.metadata)
            self._running = responses
            if self._cancelled.is_set():  # cancel() came before it could see this attempt
                responses.cancel()
            try:
                for response in responses:
                    call.succeeded(response)
                    yield response
            except grpc.RpcError as failure:
                self._cancelled.wait(call.failed(failure))
            else:
                return
            finally:
                responses.cancel()  # when whoever iterates has lost interest
        raise Cancelled("cancelled by the client", request_id=call.request_id)
