"""A Ray that is to be joined and is not there: told in one line, in bounded time. One that is: tests/integration."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
import ray

from services.common import ray_start, ray_there
from services.common.settings import SettingError


@pytest.fixture
def other_server() -> Iterator[int]:
    """gRPC that is not Ray's; its port."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    # Ray asks its node's own address in the place of loopback.
    port = server.add_insecure_port("0.0.0.0:0")
    server.start()
    yield port
    server.stop(None)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound, so that nobody else takes it, and not listening."""
    with socket.socket() as bound:
        bound.bind(("0.0.0.0", 0))
        yield bound.getsockname()[1]


def refusal(address: str) -> str:
    begun = time.monotonic()
    with pytest.raises(SettingError) as refused:
        ray_there.check(address, 0.5)
    # Ray itself waits from half a minute to several.
    assert time.monotonic() - begun < 20
    line = str(refused.value)
    assert line.startswith("RAY_ADDRESS='")
    assert line.isprintable()
    assert len(line) < 1000
    assert "leave it out for a Ray of this service's own" in line
    return line


def test_nobody_there(closed_port: int):
    assert "has answered within 0.5 s as its head does" in refusal(f"127.0.0.1:{closed_port}")
    assert "has answered within 0.5 s" in refusal("no-such-host.invalid:6379")
    assert "there is no connection to it" in refusal(f"ray://127.0.0.1:{closed_port}")


def test_somebody_who_says_nothing():
    with socket.create_server(("0.0.0.0", 0)) as silent:
        assert "has answered within 0.5 s" in refusal(f"127.0.0.1:{silent.getsockname()[1]}")


def test_somebody_else(other_server: int):
    assert "is no head of Ray's" in refusal(f"127.0.0.1:{other_server}")


@pytest.mark.parametrize("address", ["head", "http://head", "ray://", "ray://head", "ray://head:x", "a" * 5000])
def test_no_address(address: str):
    refusal(address)


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999", "6379x", "", "6 379", "\u0663", "1" * 5000])
def test_no_port(port: str):
    """Which is not to be mistaken for nobody who answers."""
    assert "answered" not in refusal(f"127.0.0.1:{port}")
    assert "port" in refusal(f"127.0.0.1:{port}").lower()


def test_it_is_asked_before_ray_is(closed_port: int, monkeypatch: pytest.MonkeyPatch):
    def wait(**_: object) -> None:
        raise AssertionError("Ray would wait for it")

    monkeypatch.setattr(ray, "init", wait)
    with pytest.raises(SettingError, match="there is no connection to it"):
        ray_start.start(f"ray://127.0.0.1:{closed_port}")
