"""Handlers of others, made to take bytes: gRPC itself ends those that are no message with UNKNOWN, and a traceback."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError


def bytes_first(handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
    """The same, but for bytes that are no message: INVALID_ARGUMENT. Those of one response to one request, and of
    streams both ways; others as they are."""
    made: Any = handler
    if handler.request_streaming and handler.response_streaming:
        return made._replace(request_deserializer=None, stream_stream=_streams(made))  # type: ignore[no-any-return]
    if handler.request_streaming or handler.response_streaming:
        return handler
    return made._replace(request_deserializer=None, unary_unary=_unary(made))  # type: ignore[no-any-return]


def _unary(handler: Any) -> Any:
    async def answer(data: bytes, context: Any) -> Any:
        response = handler.unary_unary(await _parsed(handler, data, context), context)
        return await response if inspect.isawaitable(response) else response

    return answer


def _streams(handler: Any) -> Any:
    async def answer(messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
        async def requests() -> AsyncIterator[Any]:
            async for data in messages:
                yield await _parsed(handler, data, context)

        async for response in handler.stream_stream(requests(), context):
            yield response

    return answer


async def _parsed(handler: Any, data: bytes, context: Any) -> Any:
    try:
        return handler.request_deserializer(data)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "request: is no message of this method")
        raise
