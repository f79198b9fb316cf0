"""Replicas that hang: health says so, and others take their place."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from heroserve import methods
from scripts.redis_server import free_port
from tests.support.pictures import encoded, picture
from tests.support.replicas import picky
from tests.support.services import Services, processes
from tests.support.waiting import until

# Ray's own health checks would take three minutes to find it out, and five more to end the replica.
SOON_S = 90


def pids(name: str) -> list[int]:
    """Processes of this name."""
    return [process.pid for process, command in processes() if command.startswith(name)]


@pytest.fixture
def stopped() -> Iterator[list[int]]:
    victims: list[int] = []
    yield victims
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def get(services: Services, path: str) -> int:
    try:
        with urllib.request.urlopen(services.http + path, timeout=10) as page:
            return page.status
    except urllib.error.HTTPError as error:
        return error.code


def told(services: Services, service: str) -> int:
    """What ``grpc.health.v1`` tells."""
    with grpc.insecure_channel(services.grpc) as channel:
        call = channel.unary_unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        return call(HealthCheckRequest(service=service), timeout=20).status


@pytest.fixture
def blocked(services: Services, tmp_path: Path) -> Iterator[DeploymentHandle[Any]]:
    """Of a replica whose loop is about to do nothing else any more."""
    yield serve.run(picky(tmp_path, free_port()), name="blocked", route_prefix="/blocked")
    serve.delete("blocked")


def exist(pids: list[int]) -> bool:
    """Whether any of them runs, or could."""
    return any(Path(f"/proc/{pid}/exe").exists() for pid in pids)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_replicas_that_hang_are_told_of_and_replaced(
    services: Services, stopped: list[int], blocked: DeploymentHandle[Any]
) -> None:
    image = encoded(picture(250, 200, seed=31))
    with services.client() as client:
        expected = client.ask(image, "What is it?", max_tokens=6).text
    assert until(lambda: get(services, "/readyz") == 200, SOON_S)
    # Encoder is alive, and encodes nothing without its tower.
    for deployment in ("encoder:VisionTower", "llm:Chat"):
        victims = pids(f"ray::ServeReplica:{deployment}")
        assert victims
        stopped += victims
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    stopped.append(blocked.pid.remote().result(timeout_s=60))
    blocked.block.remote()

    for service in (methods.ENCODE.service, methods.GENERATE.service, ""):
        assert until(lambda service=service: told(services, service) == HealthCheckResponse.NOT_SERVING, SOON_S, 0.2)
    assert get(services, "/readyz") == 503
    # All the while Ray's own says this.
    assert get(services, "/-/healthz") == 200

    assert until(lambda: not exist(stopped), SOON_S)
    assert until(lambda: get(services, "/readyz") == 200, SOON_S)
    assert told(services, methods.GENERATE.service) == told(services, "") == HealthCheckResponse.SERVING
    with services.client() as client:
        assert client.ask(image, "What is it?", max_tokens=6).text == expected
        assert client.encode(encoded(picture(255, 190, seed=32)), "What?").savings.kept > 0
    assert blocked.pid.remote().result(timeout_s=60) not in stopped


@pytest.mark.parametrize(
    "path", ["/playground/none.js", "/playground/../llm", "/llm", "/encoder", "/-/routes", "/llm/%2e%2e/readyz"]
)
def test_nothing_else_is_served_over_http(services: Services, path: str) -> None:
    assert get(services, path) == 404
