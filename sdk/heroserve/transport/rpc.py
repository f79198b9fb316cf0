"""The choke point: every RPC goes through `unary` or `stream` of a connection, and by `Call`'s decisions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic

import grpc

from heroserve.call import Call
from heroserve.errors import Cancelled
from heroserve.methods import Method, Request, Response
from heroserve.terms import Terms
from heroserve.transport.channels import Channels
from heroserve.transport.peer import Peer
from heroserve.transport.rotation import Loan


class Connection:
    """Calls to one service; connects on the first. Thread-safe."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._channels = Channels(peer.target, peer.tls, peer.max_connection_age_s)

    def unary(self, method: Method[Request, Response], request: Request, terms: Terms) -> Response:
        """The one response; raises HeroserveError."""
        call = self._peer.call(method, request, terms)
        while True:
            try:
                with self._channels.borrow() as loan:
                    rpc = loan.channel.unary_unary(
                        method.path, method.request.SerializeToString, method.response.FromString
                    )
                    response: Response = rpc(call.request, timeout=call.start(), metadata=call.metadata)
            except grpc.RpcError as failure:
                time.sleep(call.failed(failure))
            else:
                call.succeeded(response)
                return response

    def stream(self, method: Method[Request, Response], request: Request, terms: Terms) -> Responses[Request, Response]:
        """The responses as they come; nothing is sent before the first is asked for."""
        return Responses(self, method, lambda: self._peer.call(method, request, terms), terms.request_id)

    def close(self) -> None:
        """Cancel what runs and disconnect; no call is possible after it."""
        self._channels.close()

    def borrow(self) -> Loan[grpc.Channel]:
        """The channel for one attempt. Raises RuntimeError after `close`."""
        return self._channels.borrow()


class Responses(Generic[Request, Response]):
    """The responses of one call, `request_id`. Iterate once; `cancel` from any thread."""

    def __init__(
        self,
        connection: Connection,
        method: Method[Request, Response],
        start: Callable[[], Call[Request]],
        request_id: str,
    ) -> None:
        self.request_id = request_id
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
            with self._connection.borrow() as loan:
                rpc = loan.channel.unary_stream(
                    method.path, method.request.SerializeToString, method.response.FromString
                )
                responses = rpc(call.request, timeout=call.start(), metadata=call.metadata)
                responses.add_callback(loan.release)  # whoever iterates may stop, and never come here again
                self._running = responses
                if self._cancelled.is_set():  # cancel() came before it could see this attempt
                    responses.cancel()
                try:
                    for response in responses:
                        call.succeeded(response)
                        yield response
                except grpc.RpcError as failure:
                    delay_s = call.failed(failure)
                else:
                    return
                finally:
                    responses.cancel()  # when whoever iterates has lost interest
            self._cancelled.wait(delay_s)
        raise Cancelled("cancelled by the client", request_id=call.request_id)
