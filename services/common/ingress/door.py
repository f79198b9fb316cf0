"""In front of one method's handler: tells the replicas what they must know, and refuses what they would."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from heroserve.methods import Method
from services.common.errors import InvalidArgument, ResourceExhausted, ServiceError
from services.common.grpc_call import DEADLINE, METHOD, PUSHBACK, REFUSED, REQUEST_ID, pushback, sane_id, spell_refused
from services.common.ingress.call_context import CallContext
from services.common.ingress.in_flight import InFlightLimit
from services.common.ingress.sizes import check_size

# What only the proxy may say.
_OURS = {REQUEST_ID, DEADLINE, METHOD, REFUSED}

Handler = Callable[..., Any]


class Door:
    """One method.

    Args:
        method: the RPC.
        handler: of Serve's, which gives a message to a replica.
        refusals: RPCs of the service that were refused in this proxy since a replica was last told, by status.
    """

    def __init__(self, method: Method[Any, Any], handler: Handler, refusals: Counter[grpc.StatusCode]) -> None:
        self.path = method.path
        self._method = method
        self._handler = handler
        self._refusals = refusals
        # By application: several may share a proxy.
        self._in_flight: defaultdict[str, InFlightLimit] = defaultdict(InFlightLimit)

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """For gRPC: from bytes to bytes."""
        if self._method.streams:
            return grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._unary)

    async def _unary(self, data: bytes, context: Any) -> Any:
        async with self._admitted(data, context) as (request, told):
            return await self._handler(request, told)

    async def _stream(self, data: bytes, context: Any) -> AsyncIterator[Any]:
        async with self._admitted(data, context) as (request, told):
            responses = self._handler(request, told)
            try:
                async for response in responses:
                    yield response
            finally:
                await _abandon(responses)

    @asynccontextmanager
    async def _admitted(self, data: bytes, context: Any) -> AsyncIterator[tuple[Any, CallContext]]:
        """The message, and the RPC's context for Serve; its id is on the way to the caller."""
        sent = list(context.invocation_metadata())
        request_id = sane_id(dict(sent).get(REQUEST_ID))
        application = str(dict(sent).get("application", ""))
        await context.send_initial_metadata(((REQUEST_ID, request_id),))
        try:
            request = self._parsed(data)
            in_flight = self._in_flight[application]
            if not in_flight.enter():
                raise ResourceExhausted("too many requests are waiting; try again later")
        except ServiceError as error:
            self._refusals[error.code] += 1
            hint = () if error.retry_after_s is None else ((PUSHBACK, pushback(error.retry_after_s)),)
            context.set_trailing_metadata(((REQUEST_ID, request_id), *hint))
            await context.abort(error.code, error.message)
        try:
            told = self._refusals.copy()
            self._refusals.clear()
            added = [(REQUEST_ID, request_id), (METHOD, self.path), (REFUSED, spell_refused(told))]
            remaining_s = context.time_remaining()
            if remaining_s is not None:
                added.append((DEADLINE, f"{time.time() + remaining_s:.6f}"))
            for_serve = CallContext(context, [pair for pair in sent if pair[0] not in _OURS] + added)
            yield request, for_serve
            if for_serve.turned_away:
                # No replica has heard of it.
                self._refusals.update(told)
                self._refusals[grpc.StatusCode.RESOURCE_EXHAUSTED] += 1
                context.set_trailing_metadata(((REQUEST_ID, request_id), (PUSHBACK, pushback(1.0))))
        finally:
            in_flight.leave(refused=context.code() == grpc.StatusCode.RESOURCE_EXHAUSTED)
            if in_flight.forgettable:
                # Callers name applications as they like.
                self._in_flight.pop(application, None)

    def _parsed(self, data: bytes) -> Any:
        request = self._method.request
        check_size(request, data)
        try:
            return request.FromString(data)
        except DecodeError:
            raise InvalidArgument("request", f"is no {request.DESCRIPTOR.full_name}") from None


async def _abandon(responses: AsyncIterator[Any]) -> None:
    """End a handler of Serve's, and what its replica does for it; nothing, if it has ended.

    Serve cancels a replica's work only where it is cancelled while it waits for it. A caller may as well go away while
    a response is being written: closed there, the handler ends and its replica works on to the last token. So it is
    made to wait once more, and cancelled then.
    """
    ended = object()

    async def wait() -> Any:
        return await anext(responses, ended)

    while True:
        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        try:
            if await waiting is ended:
                return
        except asyncio.CancelledError:
            return
