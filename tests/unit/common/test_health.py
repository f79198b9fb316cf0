"""``grpc.health.v1`` and readiness of a proxy, around Serve's own server and router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from ray.serve._private.common import DeploymentID, EndpointInfo
from ray.serve._private.grpc_util import start_grpc_server
from ray.serve._private.proxy_router import ProxyRouter
from ray.serve.config import gRPCOptions

from heroserve import methods
from scripts.redis_server import free_port
from services.common import ingress
from services.common.ingress import canary, health, readiness

ENCODER, CHAT = methods.ENCODE.service, methods.GENERATE.service
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@dataclass
class Handle:
    """Of an application that answers canaries as it is told."""

    lacking: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    asked: int = 0

    def running_replicas_populated(self) -> bool:
        return True

    def options(self, **options: Any) -> Handle:
        assert options == {"method_name": "ready", "stream": False}
        return self

    async def remote(self) -> dict[str, str]:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        return self.lacking


class Proxy:
    """What of Serve's gRPC proxy is known to us."""

    _is_head = True

    def __init__(self, *applications: str) -> None:
        self.handles = {name: Handle() for name in applications}
        self.port = free_port()
        self.draining = False
        self.proxy_router = ProxyRouter(lambda deployment, _: self.handles[deployment.app_name])
        self.deploy(*applications)

    def deploy(self, *applications: str) -> None:
        endpoints = {DeploymentID(name="D", app_name=name): EndpointInfo(route=f"/{name}") for name in applications}
        self.proxy_router.update_routes(endpoints)

    def _is_draining(self) -> bool:
        return self.draining

    def service_handler_factory(self, service_method: str, streaming_type: str) -> Any:
        raise AssertionError("health asked a replica")

    @asynccontextmanager
    async def serving(self, *servicers: str) -> AsyncIterator[grpc.aio.Channel]:
        self.service_handler_factory = self._handlers  # type: ignore[method-assign]
        names = [f"services.common.ingress.{name}" for name in servicers]
        options = gRPCOptions(port=self.port, grpc_servicer_functions=names, enable_reflection=True)
        task, server = await start_grpc_server(
            self.service_handler_factory, options, event_loop=asyncio.get_running_loop()
        )
        try:
            async with grpc.aio.insecure_channel(f"localhost:{self.port}") as channel:
                yield channel
        finally:
            await server.stop(None)
            await task

    def _handlers(self, service_method: str, streaming_type: str) -> Any:
        async def refuse(request: Any, context: Any) -> Any:
            raise AssertionError("a replica was asked")

        return refuse


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """This process's proxy, for one test."""
    fresh = readiness.Readiness()
    monkeypatch.setattr(ingress, "HERE", fresh)
    monkeypatch.setattr(canary, "PERIOD_S", 0.02)
    yield fresh
    for task in fresh._tasks:
        task.cancel()


def check(channel: grpc.aio.Channel, service: str = "") -> Any:
    call = channel.unary_unary(
        f"/{health.SERVICE}/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return call(HealthCheckRequest(service=service), timeout=20)


def watch(channel: grpc.aio.Channel, service: str = "") -> Any:
    call = channel.unary_stream(
        f"/{health.SERVICE}/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return call(HealthCheckRequest(service=service), timeout=60)


async def until(channel: grpc.aio.Channel, status: int, service: str = "") -> None:
    while (await check(channel, service)).status != status:  # noqa: ASYNC110 - over a network
        await asyncio.sleep(0.02)


async def test_a_service_is_serving_while_its_application_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PATIENCE_S", 0.3)
    monkeypatch.setenv("HEROSERVE_API_KEYS", "nobody-has-it")
    proxy = Proxy("encoder", "llm")
    async with proxy.serving("add_encoder", "add_chat") as channel:
        for service in ("", ENCODER, CHAT):
            await until(channel, SERVING, service)
        proxy.handles["encoder"].hangs = True
        for service in (ENCODER, ""):
            await until(channel, NOT_SERVING, service)
        await until(channel, SERVING, CHAT)
        proxy.handles["encoder"].hangs = False
        await until(channel, SERVING)


async def test_an_application_that_lacks_its_encoder_answers_for_what_needs_none(
    here: readiness.Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "PATIENCE_S", 0.3)
    proxy = Proxy("llm")
    async with proxy.serving("add_chat") as channel:
        await until(channel, SERVING)
        proxy.handles["llm"].lacking = {"encoder": "away"}
        await until(channel, NOT_SERVING)
        assert here.problem() == f"{CHAT}: encoder: away"
        assert here.problem(without=["encoder"]) is None


async def test_callers_of_health_ask_no_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PERIOD_S", 3600)
    monkeypatch.setattr(canary, "_WAITING_S", 3600)
    proxy = Proxy("llm")
    async with proxy.serving("add_chat") as channel:
        for _ in range(300):
            await check(channel)
    assert proxy.handles["llm"].asked == 1


async def test_whoever_watches_is_told_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PATIENCE_S", 0.3)
    monkeypatch.setattr(health, "_LOOK_S", 0.02)
    proxy = Proxy("llm")
    async with proxy.serving("add_chat") as channel:
        await until(channel, SERVING)
        first, second, unknown = watch(channel, CHAT), watch(channel, CHAT), watch(channel, ENCODER)
        assert (await unknown.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
        for call in (first, second):
            assert (await call.read()).status == SERVING
        # One that leaves takes nothing from the other.
        first.cancel()
        proxy.handles["llm"].hangs = True
        assert (await second.read()).status == NOT_SERVING
        proxy.handles["llm"].hangs = False
        assert (await second.read()).status == SERVING
        second.cancel()
        unknown.cancel()


async def test_watchers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_MAX_WATCHERS", 2)
    proxy = Proxy("llm")
    async with proxy.serving("add_chat") as channel:
        watching = [watch(channel) for _ in range(2)]
        for call in watching:
            await call.read()
        assert await watch(channel).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        watching[0].cancel()
        while (third := watch(channel)) and await third.read() is grpc.aio.EOF:  # noqa: ASYNC110 - over a network
            await asyncio.sleep(0.02)
        assert (await check(channel)).status in (SERVING, NOT_SERVING)
        third.cancel()
        watching[1].cancel()


@pytest.mark.parametrize("service", [ENCODER, "x" * 10_000, "heroserve.v1.VisionChat "])
async def test_a_service_that_is_not_served_here(service: str) -> None:
    async with Proxy("llm").serving("add_chat") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(channel, service)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert CHAT in str(refused.value.details())
    assert len(str(refused.value.details())) < 200


async def test_a_proxy_that_takes_no_requests(here: readiness.Readiness) -> None:
    assert here.problem() == "this proxy serves nothing of ours"
    proxy = Proxy("llm")
    async with proxy.serving("add_chat") as channel:
        await until(channel, SERVING)
        proxy.draining = True
        assert (await check(channel)).status == NOT_SERVING
        assert here.problem() == "this node is being drained"
        proxy.draining = False
        proxy.deploy()
        assert (await check(channel)).status == NOT_SERVING
        assert here.problem() == f"{CHAT}: not deployed"


async def test_an_application_of_another_name_answers_where_it_is_alone() -> None:
    async with Proxy("mine").serving("add_chat") as channel:
        await until(channel, SERVING, CHAT)


async def test_one_that_was_not_deployed_is_not_answered_for_by_another(here: readiness.Readiness) -> None:
    async with Proxy("encoder").serving("add_encoder", "add_chat") as channel:
        await until(channel, SERVING, ENCODER)
        assert (await check(channel, CHAT)).status == NOT_SERVING
        assert here.problem(CHAT) == f"{CHAT}: not deployed"
        # Of two services that could join, one has.
        assert (await check(channel)).status == SERVING
        assert here.problem() is None
