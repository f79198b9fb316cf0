"""What a service's own Ray is told before it starts; which ports listen is in tests/e2e."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ray._private.node import Node

from services.common import own_ray, ray_metrics


@pytest.mark.parametrize("set_to", [None, "disabled"])
def test_a_token_whatever_is_set(monkeypatch: pytest.MonkeyPatch, set_to: str | None) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_AUTH_MODE": set_to} if set_to else {})
    own_ray.close()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_a_cluster_that_runs_already_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_ADDRESS": "auto"})
    own_ray.close()
    assert os.environ == {"RAY_ADDRESS": "auto"}


@pytest.mark.parametrize("said", ["", " ", "local"])
def test_an_address_that_says_to_start_one_leaves_it_as_closed(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_ADDRESS": said})
    own_ray.close()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert "RAY_ADDRESS" not in os.environ


def test_what_serves_clusters_is_left_out_while_it_starts() -> None:
    parts = {name: getattr(Node, name) for name in ("start_monitor", "start_api_server")}
    with own_ray.without_what_serves_clusters():
        # As Ray calls them; a part of another name would be started.
        assert Node.start_monitor(None) is None
        assert Node.start_api_server(None, include_dashboard=False, raise_on_failure=False) is None
    assert {name: getattr(Node, name) for name in parts} == parts


class Agent(BaseHTTPRequestHandler):
    """Ray's agent, with a page of its own."""

    def do_GET(self) -> None:
        assert self.path == "/metrics"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"ray_things 1\n" * 1000)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def agent() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever, args=[0.01]).start()
    yield server
    server.shutdown()
    server.server_close()


def get(port: int, path: str) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    told = answer.status, answer.getheader("Content-Type"), answer.read()
    connection.close()
    return told


def test_rays_page_is_passed_on_and_nothing_else_of_its_agent(agent: HTTPServer) -> None:
    server = ray_metrics.serve(0, agent.server_port)
    try:
        port = server.server_port
        assert server.server_address[0] == "0.0.0.0"
        assert get(port, "/metrics") == (200, "text/plain; version=0.0.4", b"ray_things 1\n" * 1000)
        for path in ("/", "/api/x", "/metrics/../api", "http://127.0.0.1/metrics"):
            assert get(port, path)[0] == 404
        # One that says nothing is in nobody's way.
        with socket.create_connection(("127.0.0.1", port)):
            assert get(port, "/metrics")[0] == 200
        agent.shutdown()
        agent.server_close()
        assert get(port, "/metrics")[0] == 503
    finally:
        server.shutdown()
        server.server_close()
