"""The asyncio half of the choke point: as `rpc`, and by the same `Call`, with other ways to wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Generic

import grpc

from heroserve.call import Call
from heroserve.errors import Cancelled
from heroserve.methods import Method, Request, Response
from heroserve.terms import Terms
from heroserve.transport.aio_channels import AsyncChannels
from heroserve.transport.peer import Peer
from heroserve.transport.rotation import Loan


class AsyncConnection:
    """Calls to one service; connects on the first, belongs to one event loop.

    Requests come as functions that build them: an image is read and hashed in a thread, off the loop.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._channels = AsyncChannels(peer.target, peer.tls, peer.max_connection_age_s)

    async def unary(self, method: Method[Request, Response], build: Callable[[], Request], terms: Terms) -> Response:
        """The one response; raises HeroserveError, and what `build` raises."""
        call = await asyncio.to_thread(lambda: self._peer.call(method, build(), terms))
        while True:
            try:
                with self._channels.borrow() as loan:
                    rpc = loan.channel.unary_unary(
                        method.path, method.request.SerializeToString, method.response.FromString
                    )
                    response: Response = await rpc(call.request, timeout=call.start(), metadata=call.metadata)
            except grpc.RpcError as failure:
                await asyncio.sleep(call.failed(failure))
            except asyncio.CancelledError:
                if self.closed:  # gRPC's word for it, which here is not the task's
                    raise Cancelled("the client was closed", request_id=call.request_id) from None
                raise
            else:
                call.succeeded(response)
                return response

    def stream(
        self, method: Method[Request, Response], build: Callable[[], Request], terms: Terms
    ) -> AsyncResponses[Request, Response]:
        """The responses as they come; nothing is built or sent before the first is asked for."""
        return AsyncResponses(self, method, lambda: self._peer.call(method, build(), terms), terms.request_id)

    async def close(self) -> None:
        """Cancel what runs and disconnect; no call is possible after it."""
        await self._channels.close()

    @property
    def closed(self) -> bool:
        return self._channels.closed

    def borrow(self) -> Loan[grpc.aio.Channel]:
        """The channel for one attempt. Raises RuntimeError after `close`."""
        return self._channels.borrow()


class AsyncResponses(Generic[Request, Response]):
    """The responses of one call, `request_id`. Iterate once; `cancel` from any task of the loop."""

    def __init__(
        self,
        connection: AsyncConnection,
        method: Method[Request, Response],
        start: Callable[[], Call[Request]],
        request_id: str,
    ) -> None:
        self.request_id = request_id
        self._connection = connection
        self._method = method
        self._start = start
        self._cancelled = asyncio.Event()
        self._running: grpc.aio.Call | None = None
        self._responses = self._run()

    def __aiter__(self) -> AsyncIterator[Response]:
        return self._responses

    def cancel(self) -> None:
        """End the call, here and in the service: whoever iterates gets Cancelled. Harmless when over."""
        self._cancelled.set()
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> AsyncIterator[Response]:
        call = await asyncio.to_thread(self._start)
        method = self._method
        while not self._cancelled.is_set():
            with self._connection.borrow() as loan:
                rpc = loan.channel.unary_stream(
                    method.path, method.request.SerializeToString, method.response.FromString
                )
                responses = rpc(call.request, timeout=call.start(), metadata=call.metadata)
                self._running = responses
                try:
                    async for response in responses:
                        call.succeeded(response)
                        yield response
                except grpc.RpcError as failure:
                    delay_s = call.failed(failure)
                except asyncio.CancelledError:
                    if self._cancelled.is_set() or self._connection.closed:
                        break  # gRPC's word for a cancelled call, which here is not a cancelled task
                    raise
                else:
                    return
                finally:
                    responses.cancel()  # when whoever iterates has lost interest
                    self._running = None  # gRPC stays connected while it is held
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._cancelled.wait(), delay_s)
        raise Cancelled("cancelled by the client", request_id=call.request_id)
