"""The stack of docker-compose.yml, without Grafana: built, brought up, and taken down at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import compose
from tests.support.manifests import SERVICES
from tests.support.prometheus import Api
from tests.support.waiting import until

_PATIENCE_S = 240.0


@pytest.fixture(scope="session")
def images() -> None:
    """Those that the stack runs on."""
    if not compose.reached():
        pytest.skip("podman and podman-compose are needed: apt-get install podman")
    compose.build(*SERVICES)
    compose.fetch()


@pytest.fixture(scope="session")
def stack(images: None) -> Iterator[None]:
    compose.take_down()
    try:
        compose.compose("up", "--detach", "redis", "redis-exporter", *SERVICES, "prometheus")
        for service in ("redis", *SERVICES, "prometheus"):
            (container,) = compose.containers(service)
            assert until(lambda name=container: compose.healthy(name), _PATIENCE_S), compose.logs()  # type: ignore[misc]
        yield
    finally:
        compose.take_down()


@pytest.fixture(scope="session")
def prometheus(stack: None) -> Api:
    return Api("http://localhost:9090")
