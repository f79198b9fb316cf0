"""What container engines run to know whether a service takes requests."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.redis_server import free_port
from services.common import health, metric_folder
from services.common.settings import Settings


@contextmanager
def proxy(pages: dict[str, tuple[int, str]]) -> Iterator[int]:
    """One that answers these paths, and others as Serve's own proxy does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = pages.get(self.path, (404, f"Path '{self.path}' not found. Ping http://.../-/routes"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service whose replicas have started once."""
    monkeypatch.setenv("HEROSERVE_METRICS_DIR", str(tmp_path))
    metric_folder.own(Path(Settings(metrics_dir=str(tmp_path)).metrics_folder))
    health.mark(Settings.from_env())
    return tmp_path


def told(port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HEROSERVE_HTTP_PORT", str(port))
    try:
        health.main(Settings)
    except SystemExit as end:
        line = str(end.code)
    else:
        return ""
    assert line.startswith("heroserve: ")
    assert "\n" not in line
    return line


def test_it_is_what_readyz_says(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy({"/readyz": (200, "ready\n"), "/-/healthz": (503, "no")}) as port:
        assert told(port, monkeypatch) == ""
    with proxy({"/readyz": (503, "VisionEncoder: no replica has answered for 7 s\n"), "/-/healthz": (200, "")}) as port:
        assert told(port, monkeypatch).endswith(" is not ready: VisionEncoder: no replica has answered for 7 s")


def test_a_ray_whose_proxies_know_nothing_of_it_is_asked_as_ray_would(
    started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy({"/-/healthz": (200, "success")}) as port:
        assert told(port, monkeypatch) == ""
    with proxy({"/-/healthz": (503, "draining")}) as port:
        assert told(port, monkeypatch).endswith("is not ready: draining")


def test_nobody_there(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    assert f"no answer on port {port}" in told(port, monkeypatch)


def test_a_proxy_that_hangs_fails_it_in_time(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes the connection, whoever is stopped."""
    monkeypatch.setattr(health, "_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        assert "timed out" in told(hung.getsockname()[1], monkeypatch)


def test_one_that_is_stopping_is_not_asked(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    health.unmark(Settings.from_env())
    with proxy({"/readyz": (200, "ready\n")}) as port:
        assert told(port, monkeypatch).endswith("is starting or stopping")


def test_it_loads_next_to_nothing() -> None:
    """A container engine runs it every few seconds, beside the service."""
    tell = "import sys, services.encoder.health; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True).stdout.split()
    assert not {"heroserve", "ray", "torch"} & set(loaded)
