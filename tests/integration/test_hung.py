"""Replicas that hang: health says so, and others take their place."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from ray import serve

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
def stopped() -> Iterator[dict[str, list[int]]]:
    victims: dict[str, list[int]] = {}
    yield victims
    for pid in chain(*victims.values()):
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


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize(
    ("deployments", "unwell"),
    [
        # An LLM service whose encoder is away can't answer about pictures, and is not to blame.
        (["encoder:VisionTower"], [methods.ENCODE.service, methods.GENERATE.service]),
        (["encoder:Encoder", "llm:Chat"], [methods.ENCODE.service, methods.GENERATE.service]),
    ],
)
def test_replicas_that_hang_are_told_of_and_replaced(
    services: Services, stopped: dict[str, list[int]], deployments: list[str], unwell: list[str]
) -> None:
    image = encoded(picture(250, 200, seed=31))
    with services.client() as client:
        expected = client.ask(image, "What is it?", max_tokens=6).text
    assert until(lambda: get(services, "/readyz") == 200, SOON_S)
    for deployment in deployments:
        stopped[deployment] = pids(f"ray::ServeReplica:{deployment}")
        assert stopped[deployment]
        for pid in stopped[deployment]:
            os.kill(pid, signal.SIGSTOP)
    for service in unwell:
        assert until(lambda service=service: told(services, service) == HealthCheckResponse.NOT_SERVING, SOON_S, 0.2)
    assert get(services, "/readyz") == 503
    if "llm:Chat" not in deployments:
        assert get(services, "/readyz?exclude=encoder") == 503  # The encoder itself is on this port too.
    gone = list(chain(*stopped.values()))
    assert until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in gone), SOON_S)
    assert until(lambda: get(services, "/readyz") == 200, SOON_S)
    assert all(told(services, service) == HealthCheckResponse.SERVING for service in ("", *unwell))
    with services.client() as client:
        assert client.ask(image, "What is it?", max_tokens=6).text == expected
        assert client.encode(encoded(picture(255, 190, seed=int(time.time()))), "What?").savings.kept > 0


def test_a_replica_whose_loop_is_blocked_is_replaced(services: Services, tmp_path: Path) -> None:
    handle = serve.run(picky(tmp_path, free_port()), name="blocked", route_prefix="/blocked")
    try:
        first = handle.pid.remote().result(timeout_s=60)
        handle.block.remote()
        assert until(lambda: not Path(f"/proc/{first}/exe").exists(), SOON_S)
        second = handle.pid.remote().result(timeout_s=60)
        assert second != first
    finally:
        serve.delete("blocked")
