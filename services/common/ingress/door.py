"""In front of one method's handler: tells the replicas what they must know, and refuses what they would."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from heroserve.methods import Method
from services.common.errors import NO_ROOM, InvalidArgument, ResourceExhausted, ServiceError
from services.common.grpc_call import DEADLINE, METHOD, PUSHBACK, REFUSED, REQUEST_ID, pushback, sane_id, spell_refused
from services.common.ingress.call_context import CallContext
from services.common.ingress.in_flight import InFlightLimit
from services.common.ingress.refusals import Refusals
from services.common.ingress.session import SESSION, session_of
from services.common.ingress.sizes import check_size
from services.common.quotas import Quotas
from services.common.scope import HEADER as SCOPE

# What only the proxy may say.
_OURS = {REQUEST_ID, DEADLINE, METHOD, REFUSED, SESSION}

Handler = Callable[..., Any]


class Door:
    """One method.

    Args:
        method: the RPC.
        handler: of Serve's, which gives a message to a replica.
        refusals: of the service in this proxy.
        quotas: of this proxy.
    """

    def __init__(self, method: Method[Any, Any], handler: Handler, refusals: Refusals, quotas: Quotas) -> None:
        self.path = method.path
        self._method = method
        self._handler = handler
        self._refusals = refusals
        self._quotas = quotas
        # By application: several may share a proxy.
        self._in_flight: defaultdict[str, InFlightLimit] = defaultdict(InFlightLimit)

    def handler(self, key: str) -> grpc.RpcMethodHandler[Any, Any]:
        """For gRPC, from bytes to bytes: of one RPC, whose caller has this API key; "" where none is asked for."""
        if self._method.streams:
            return grpc.unary_stream_rpc_method_handler(partial(self._stream, key))
        return grpc.unary_unary_rpc_method_handler(partial(self._unary, key))

    async def _unary(self, key: str, data: bytes, context: Any) -> Any:
        async with self._admitted(key, data, context) as (request, told):
            return await self._handler(request, told)

    async def _stream(self, key: str, data: bytes, context: Any) -> AsyncIterator[Any]:
        async with self._admitted(key, data, context) as (request, told):
            responses = self._handler(request, told)
            try:
                async for response in responses:
                    yield response
            finally:
                await _abandon(responses)

    @asynccontextmanager
    async def _admitted(self, key: str, data: bytes, context: Any) -> AsyncIterator[tuple[Any, CallContext]]:
        """The message, and the RPC's context for Serve; its id is on the way to the caller."""
        sent = list(context.invocation_metadata())
        named = dict(sent)
        request_id = sane_id(named.get(REQUEST_ID))
        application = str(named.get("application", ""))
        # What replicas make a request's scope of.
        path = key, str(named.get(SCOPE, ""))
        waits_s = context.time_remaining()
        patience_s = math.inf if waits_s is None else waits_s
        await context.send_initial_metadata(((REQUEST_ID, request_id),))
        with ExitStack() as held:
            try:
                held.enter_context(self._quotas.under_way(key))
                request = self._parsed(data)
                in_flight = self._in_flight[application]
                if not in_flight.enter(path, patience_s):
                    raise ResourceExhausted(NO_ROOM, reason="proxy")
            except ServiceError as error:
                await self._refuse(error, request_id, context)
            try:
                told = self._refusals.hand_over()
                added = [(REQUEST_ID, request_id), (METHOD, self.path), (REFUSED, spell_refused(told))]
                session = await session_of(request)
                if session:
                    added.append((SESSION, session))
                remaining_s = context.time_remaining()
                if remaining_s is not None:
                    added.append((DEADLINE, f"{time.time() + remaining_s:.6f}"))
                for_serve = CallContext(context, [pair for pair in sent if pair[0] not in _OURS] + added)
                yield request, for_serve
                if for_serve.turned_away:
                    turned_away = self._refusals.turned_away(told)
                    context.set_trailing_metadata(trailing(request_id, turned_away.retry_after_s))
            finally:
                in_flight.leave(path, patience_s, refused=context.code() == grpc.StatusCode.RESOURCE_EXHAUSTED)
                if in_flight.forgettable:
                    # Callers name applications as they like.
                    self._in_flight.pop(application, None)

    async def _refuse(self, error: ServiceError, request_id: str, context: Any) -> NoReturn:
        self._refusals.add(error)
        context.set_trailing_metadata(trailing(request_id, error.retry_after_s))
        await context.abort(error.code, error.message)
        raise error

    def _parsed(self, data: bytes) -> Any:
        request = self._method.request
        check_size(request, data)
        try:
            return request.FromString(data)
        except DecodeError:
            raise InvalidArgument("request", f"is no {request.DESCRIPTOR.full_name}") from None


def trailing(request_id: str, retry_after_s: float | None) -> tuple[tuple[str, str], ...]:
    """What a caller is told behind a status."""
    hint = () if retry_after_s is None else ((PUSHBACK, pushback(retry_after_s)),)
    return (REQUEST_ID, request_id), *hint


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
