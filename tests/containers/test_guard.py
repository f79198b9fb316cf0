"""The stack on every address of the machine, with the passwords of the demo: nothing of it comes up."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

import heroserve
from tests.support import compose
from tests.support.waiting import until

SERVICES = ("redis", "llm", "prometheus")

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def refused(images: None) -> Iterator[dict[str, str]]:
    """What each container says. Before the stack of the other tests is up: it would have their names and ports."""
    compose.take_down()
    try:
        compose.compose("up", "--detach", *SERVICES, BIND_ADDRESS="0.0.0.0")
        names = {service: compose.containers(service)[0] for service in SERVICES}
        assert until(lambda: all(map(told, names.values())), 60), compose.logs()
        yield {service: told(name) for service, name in names.items()}
    finally:
        compose.take_down()


def told(container: str) -> str:
    return subprocess.run(["podman", "logs", container], capture_output=True, text=True).stderr


def test_each_says_what_to_set(refused: dict[str, str]):
    for service, line in refused.items():
        assert line.count("\n") == 1, service
        assert "BIND_ADDRESS=0.0.0.0" in line
        assert "set REDIS_PASSWORD GRAFANA_PASSWORD" in line


def test_none_is_healthy(refused: dict[str, str]):
    for service in refused:
        assert not compose.healthy(compose.containers(service)[0])


def test_nobody_gets_in(refused: dict[str, str]):
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen("http://localhost:9090/-/healthy", timeout=5)
    with heroserve.Client("localhost:9001", timeout_s=5, retry=heroserve.RetryPolicy(attempts=1)) as client:
        with pytest.raises(heroserve.HeroserveError) as failure:
            client.describe()
        assert isinstance(failure.value, (heroserve.Unavailable, heroserve.DeadlineExceeded))
