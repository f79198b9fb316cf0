"""A few connections at a time, whatever comes."""

from __future__ import annotations

import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common import metric_folder, metrics, page_server
from services.common.page_server import MAX_CONNECTIONS, PageHandler, PageServer

HALF = b"GET / HTTP/1.1\r\nhost: x\r\n"
SOON_S = 20.0


class Handler(PageHandler):
    held = threading.Event()
    # With and without their answer.
    heard = 0

    def do_GET(self) -> None:
        type(self).heard += 1
        assert self.held.wait(SOON_S)
        if self.path == "/bug":
            raise ValueError("a bug")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"page")


@pytest.fixture
def server() -> Iterator[PageServer]:
    Handler.held.set()
    Handler.heard = 0
    server = PageServer(0, Handler, "page")
    yield server
    Handler.held.set()
    server.shutdown()
    server.server_close()


def page(port: int, path: str = "/metrics") -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SOON_S) as reply:
        return reply.read()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def opened(port: int, data: bytes, count: int) -> list[socket.socket]:
    connections = [socket.create_connection(("127.0.0.1", port), timeout=SOON_S) for _ in range(count)]
    for connection in connections:
        connection.sendall(data)
    return connections


def ended(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


@pytest.mark.parametrize("data", [b"", HALF], ids=["nothing", "half a head"])
def test_those_that_ask_nothing_are_in_nobodys_way(server: PageServer, capfd, data: bytes) -> None:
    before = threading.active_count()
    connections = opened(server.server_port, data, 3 * MAX_CONNECTIONS)
    for _ in range(3):
        assert page(server.server_port) == b"page"
    assert threading.active_count() - before <= MAX_CONNECTIONS
    # The first are closed for the last, long before their time is over.
    assert [ended(connection) for connection in connections[:MAX_CONNECTIONS]] == [b""] * MAX_CONNECTIONS
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert page(server.server_port) == b"page"
    until(lambda: threading.active_count() <= before)
    assert capfd.readouterr() == ("", "")


def test_those_that_are_answered_are_not_closed_and_newcomers_wait(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This machine may be too busy for all of them to have asked in time.
    monkeypatch.setattr(page_server, "GRACE_S", SOON_S)
    Handler.held.clear()
    with ThreadPoolExecutor(MAX_CONNECTIONS + 3) as callers:
        pages = [callers.submit(page, server.server_port) for _ in range(MAX_CONNECTIONS)]
        until(lambda: Handler.heard == MAX_CONNECTIONS)
        monkeypatch.setattr(page_server, "GRACE_S", 0.01)
        pages += [callers.submit(page, server.server_port) for _ in range(3)]
        time.sleep(0.2)
        assert Handler.heard == MAX_CONNECTIONS
        Handler.held.set()
        assert [each.result() for each in pages] == [b"page"] * len(pages)


def test_a_connection_has_its_time(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < PageHandler.timeout == page_server.TIMEOUT_S <= 5
    monkeypatch.setattr(Handler, "timeout", 0.2)
    (connection,) = opened(server.server_port, HALF, 1)
    assert ended(connection) == b""
    connection.close()


def test_a_page_that_fails_is_a_line_and_costs_no_place(server: PageServer, capfd, caplog) -> None:
    for _ in range(MAX_CONNECTIONS + 1):
        (connection,) = opened(server.server_port, b"GET /bug HTTP/1.0\r\n\r\n", 1)
        assert ended(connection) == b""
        connection.close()
    assert page(server.server_port) == b"page"
    assert capfd.readouterr() == ("", "")
    told = f"port {server.server_port}: its page could not be made: ValueError('a bug')"
    assert caplog.messages == [told] * (MAX_CONNECTIONS + 1)


def test_the_metrics_of_a_replica_are_such_a_page(tmp_path) -> None:
    metric_folder.own(tmp_path / "metrics")
    server = metrics._serve(0, str(tmp_path / "metrics"))
    assert isinstance(server, PageServer)
    try:
        connections = opened(server.server_port, HALF, 2 * MAX_CONNECTIONS)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=SOON_S) as reply:
            assert reply.headers["Content-Type"].startswith("text/plain")
        for connection in connections:
            connection.close()
        # Whoever has it, has it alone.
        assert metrics._serve(server.server_port, str(tmp_path / "metrics")) is None
    finally:
        server.shutdown()
        server.server_close()
