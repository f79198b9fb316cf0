"""The bundled model's stack, once for all that ask it; and one of another model, watched and in the end stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.redis_server import RedisServer
from scripts.scraping import scraping
from scripts.stack import Ports, Stack
from tests.support.prometheus import EXPORTERS, Prometheus, program


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(Ports.free(), tmp_path_factory.mktemp("bundled"))
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.delenv("HEROSERVE_MODEL", raising=False)
            stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def stack(untrained: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Of a model with random weights, whose answers go on and on. What stops a part of it is in test_stopping.py."""
    stack = Stack(Ports.free(), tmp_path_factory.mktemp("stack"))
    # As in production; without a limit there is no share of it to show.
    stack.redis = RedisServer(stack.ports.redis, stack.folder, {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lfu"})
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("HEROSERVE_MODEL", untrained)
            stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Which scrapes that one."""
    for names in (("prometheus",), EXPORTERS):
        program(*names)
    with scraping(stack.ports, stack.redis.url, tmp_path_factory.mktemp("prometheus")) as prometheus:
        yield prometheus
