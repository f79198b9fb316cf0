"""Whether the encoder service would answer, as it tells of itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from heroserve.methods import ENCODE
from heroserve.transport.channel import open_async_channel

logger = logging.getLogger(__name__)

_CHECK = "/grpc.health.v1.Health/Check"
_TIMEOUT_S = 2.0
# An encoder of before it told, or what stands before it and does not pass that on.
_SAYS_NOTHING = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class EncoderHealth:
    """Asks; every address of the encoder in its turn.

    Args:
        target: its HOST:PORT.
        otherwise: asks in another way one that says nothing of its health: whether it is there.
    """

    def __init__(self, target: str, otherwise: Callable[[], Awaitable[bool]]) -> None:
        self._target = target
        self._otherwise = otherwise
        self._channel = open_async_channel(target, tls=False)
        self._check = self._channel.unary_unary(
            _CHECK, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )

    async def problem(self) -> str | None:
        """Why a picture could not be encoded now; None if it could. For everybody to read: no addresses."""
        try:
            told = await self._check(HealthCheckRequest(service=ENCODE.service), timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _SAYS_NOTHING:
                logger.debug("the encoder at %s does not answer: %s", self._target, error.details())
                return f"it does not answer ({error.code().name})"
            return None if await self._otherwise() else "it does not answer"
        if told.status == HealthCheckResponse.SERVING:
            return None
        return "it says that it is not ready"

    async def close(self) -> None:
        await self._channel.close()
