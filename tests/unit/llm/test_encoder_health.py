"""What the LLM service makes of an encoder's health, over a real channel."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from scripts.redis_server import free_port
from services.llm import encoder_health
from services.llm.encoder_health import EncoderHealth

ENCODER = "heroserve.v1.VisionEncoder"


class Health:
    """Of an encoder that answers with this, or ends with it."""

    def __init__(self, answer: int | grpc.StatusCode) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def check(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext) -> HealthCheckResponse:
        self.asked.append(request.service)
        if isinstance(self.answer, grpc.StatusCode):
            await context.abort(self.answer, "one\nreason")
        return HealthCheckResponse(status=self.answer)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = grpc.aio.server()
        check = grpc.unary_unary_rpc_method_handler(
            self.check, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield f"127.0.0.1:{port}"
        await server.stop(None)


async def problem(target: str, there: bool = False) -> str | None:
    async def otherwise() -> bool:
        return there

    asked = EncoderHealth(target, otherwise)
    try:
        return await asked.problem()
    finally:
        await asked.close()


async def test_it_is_asked_about_its_own_service() -> None:
    health = Health(HealthCheckResponse.SERVING)
    async with health.serving() as target:
        assert await problem(target) is None
    assert health.asked == [ENCODER]


@pytest.mark.parametrize("status", [HealthCheckResponse.NOT_SERVING, HealthCheckResponse.UNKNOWN])
async def test_one_that_says_no(status: int) -> None:
    async with Health(status).serving() as target:
        assert await problem(target, there=True) == "it says that it is not ready"


async def test_an_llm_service_is_no_encoder() -> None:
    async with Health(grpc.StatusCode.NOT_FOUND).serving() as target:
        assert await problem(target, there=True) == "it does not answer (NOT_FOUND)"


@pytest.mark.parametrize("status", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED])
async def test_one_that_tells_nothing_of_its_health_is_asked_otherwise(status: grpc.StatusCode) -> None:
    async with Health(status).serving() as target:
        assert await problem(target, there=True) is None
        assert await problem(target) == "it does not answer"


async def test_nobody_there() -> None:
    assert await problem(f"127.0.0.1:{free_port()}") == "it does not answer (UNAVAILABLE)"


async def test_one_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_health, "_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        told = await problem(f"127.0.0.1:{hung.getsockname()[1]}")
    assert "DEADLINE_EXCEEDED" in str(told) or "UNAVAILABLE" in str(told)
