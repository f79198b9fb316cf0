"""Attaching to a server that is not there is told at once; one that answers, whatever it says, is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts.stack.servers import silent


class Refuses(BaseHTTPRequestHandler):
    """As a vLLM that wants a key does."""

    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def there() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_who_gives_no_answer_is_told(there: str, monkeypatch: pytest.MonkeyPatch):
    # What the services don't heed, or it would answer for everybody.
    monkeypatch.setenv("http_proxy", there)
    with socket.socket() as bound:
        # Bound, and nobody listens.
        bound.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{bound.getsockname()[1]}"
        (line,) = silent([there, away])
    assert line.startswith(f"vLLM at {away} does not answer (Connection refused); it is waited for")


def test_who_speaks_no_http_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"+PONG\r\n")

        threading.Thread(target=answer, daemon=True).start()
        (line,) = silent([f"http://127.0.0.1:{server.getsockname()[1]}"])
    assert "does not answer (it speaks no HTTP: +PONG)" in line
    assert len(line.splitlines()) == 1
