"""Our part of Ray Serve's gRPC proxy: what ``grpc_servicer_functions`` of a Serve config names.

Serve calls these in the proxy's own process and makes the handlers itself. What a replica can't do is done around them:
each RPC's id goes back in the initial metadata, the time of its deadline and its whole name go to the replica, no
traceback of Ray's goes to a caller, and a refusal leaves none in the proxy's log. Where a config names the stubs' own
functions instead, the replica makes an id if the caller sent none, knows of no deadline but its own, and the proxy
writes its tracebacks.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from heroserve.v1.chat_pb2_grpc import add_VisionChatServicer_to_server
from heroserve.v1.encoder_pb2_grpc import add_VisionEncoderServicer_to_server
from services.common import logs
from services.common.grpc_call import DEADLINE, METHOD, REQUEST_ID, sane_id

logger = logging.getLogger(__name__)

# How Serve tells that a replica has no such method, and what its tracebacks have in common.
_NO_METHOD = re.compile(r"Tried to call a method '\w+' that does not exist")
_INSIDES = "Traceback (most recent call last)"

Handler = Callable[..., Any]


def add_encoder(servicer: Any, server: Any) -> None:
    """``heroserve.v1.VisionEncoder`` on a proxy."""
    _add(add_VisionEncoderServicer_to_server, servicer, server)


def add_chat(servicer: Any, server: Any) -> None:
    """``heroserve.v1.VisionChat`` on a proxy."""
    _add(add_VisionChatServicer_to_server, servicer, server)


def _add(register: Handler, servicer: Any, server: Any) -> None:
    logs.quiet_refusals()
    make: Handler | None = getattr(server, "service_handler_factory", None)
    if make is None:
        logger.warning("this Ray Serve makes its handlers in another way: ids and deadlines stay with the replicas")
        register(servicer, server)
        return

    def around(service_method: str, *args: Any, **kwargs: Any) -> Handler:
        return _around(make(service_method, *args, **kwargs), service_method)

    server.service_handler_factory = around
    try:
        register(servicer, server)
    finally:
        server.service_handler_factory = make


def _around(handler: Handler, method: str) -> Handler:
    """A handler of Serve's that is given our context."""

    async def unary(request: Any, context: Any) -> Any:
        return await handler(request, await _taken_up(context, method))

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        responses = handler(request, await _taken_up(context, method))
        try:
            async for response in responses:
                yield response
        finally:
            await _abandon(responses)

    return stream if inspect.isasyncgenfunction(handler) else unary


async def _abandon(responses: AsyncIterator[Any]) -> None:
    """End a handler of Serve's, and what its replica does for it; nothing, if it has ended.

    Serve cancels a replica's work only where it is cancelled while it waits for it. A caller may as well go away while
    a response is being written: closed there, the handler ends and its replica works on to the last token. So it is
    made to wait once more, and cancelled then.
    """
    ended = object()

    async def wait() -> Any:
        return await anext(responses, ended)

    waiting = asyncio.ensure_future(wait())
    while True:
        await asyncio.sleep(0)
        waiting.cancel()
        try:
            if await waiting is ended:
                return
        except asyncio.CancelledError:
            return
        waiting = asyncio.ensure_future(wait())


async def _taken_up(context: Any, method: str) -> Any:
    """The RPC's context with what its replica must know in the metadata; its id is on the way to the caller."""
    sent = list(context.invocation_metadata())
    request_id = sane_id(dict(sent).get(REQUEST_ID))
    added = [(REQUEST_ID, request_id), (METHOD, method)]
    remaining_s = context.time_remaining()
    if remaining_s is not None:
        added.append((DEADLINE, f"{time.time() + remaining_s:.6f}"))
    await context.send_initial_metadata(((REQUEST_ID, request_id),))
    kept = tuple((name, value) for name, value in sent if name not in (REQUEST_ID, DEADLINE, METHOD))
    return _Context(context, kept, added)


class _Context:
    """gRPC's context of an RPC, with other metadata than it came with, and statuses that say nothing of our insides."""

    def __init__(self, context: Any, sent: tuple[tuple[str, Any], ...], added: list[tuple[str, str]]) -> None:
        self._context = context
        self._metadata = (*sent, *added)
        self._peer: str = context.peer()

    def invocation_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self._metadata

    def peer(self) -> str:
        """Who called. Serve asks last of all, when a caller that went away has taken the means to answer with it."""
        return self._peer

    def set_details(self, details: str) -> None:
        """What Serve says of a failure that no gate has seen: for callers, not for who keeps the service."""
        if _NO_METHOD.search(details):
            self._context.set_code(grpc.StatusCode.UNIMPLEMENTED)
            details = "not served here"
        elif _INSIDES in details:
            details = "internal error; the service's log has the details"
        self._context.set_details(details)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
