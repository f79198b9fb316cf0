"""``grpc.health.v1.Health`` on a proxy, for who has no key too.

Its messages are the library's; its servicer is not, which shares one lock among those who watch: one of them that reads
nothing would keep the truth from all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import DESCRIPTOR, HealthCheckRequest, HealthCheckResponse

from services.common.ingress.readiness import Readiness

SERVICE = DESCRIPTOR.services_by_name["Health"].full_name
_LOOK_S = 0.5
# Who watches costs a proxy a connection and a timer.
_MAX_WATCHERS = 1000


class Health:
    """Answers for the proxy as a whole (no name) and for each of its services."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._watchers = 0

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """By path; from bytes to bytes."""
        return {
            f"/{SERVICE}/Check": grpc.unary_unary_rpc_method_handler(self._check),
            f"/{SERVICE}/Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }

    async def _check(self, data: bytes, context: Any) -> bytes:
        service = await _asked(data, context)
        if not self._knows(service):
            known = " and ".join(self._readiness.services)
            await context.abort(grpc.StatusCode.NOT_FOUND, f"service: {service[:80]!r} is not served here, {known} is")
        return self._told(service)

    async def _watch(self, data: bytes, context: Any) -> AsyncIterator[bytes]:
        service = await _asked(data, context)
        if self._watchers >= _MAX_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_MAX_WATCHERS} watch already; use Check")
        self._watchers += 1
        try:
            last = None
            while True:
                told = self._told(service)
                if told != last:
                    yield told
                last = told
                await asyncio.sleep(_LOOK_S)
        finally:
            self._watchers -= 1

    def _knows(self, service: str) -> bool:
        return not service or service in self._readiness.services

    def _told(self, service: str) -> bytes:
        if not self._knows(service):
            told = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        elif self._readiness.problem(service) is None:
            told = HealthCheckResponse(status=HealthCheckResponse.SERVING)
        else:
            told = HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
        return told.SerializeToString()


async def _asked(data: bytes, context: Any) -> str:
    try:
        return HealthCheckRequest.FromString(data).service
    except DecodeError:
        name = HealthCheckRequest.DESCRIPTOR.full_name
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"request: is no {name}")
        raise
