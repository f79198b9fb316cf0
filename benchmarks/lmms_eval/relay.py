"""Stands between lmms-eval and the service: puts the retention into each request, and reads what each answer kept.

lmms-eval has no way to send what OpenAI's API does not know, nor to tell what a server says of it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .asking import UnansweredError, ask

_COMPLETIONS = "/v1/chat/completions"
# Of a connection or of a body's form, which are made anew.
_NOT_PASSED = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding", "content-encoding"}


@dataclass
class Told:
    """What the answers of a run said.

    Attributes:
        kept, total: visual tokens of each answer's prompt, and before any was dropped.
        problem: what an answer that was none said; the last one.
    """

    kept: list[int] = field(default_factory=list)
    total: list[int] = field(default_factory=list)
    problem: str = ""

    def add(self, status: int, answer: Any) -> None:
        """An answer to a chat, read from JSON; None for what was none."""
        match answer:
            case {"usage": {"heroserve": {"visual_tokens": {"kept": int(kept), "total": int(total)}}}}:
                self.kept.append(kept)
                self.total.append(total)
            case {"error": {"message": str(message)}}:
                self.problem = f"status {status}: {message}"
            case _:
                self.problem = f"status {status}, and nothing of visual tokens: is this heroserve's LLM service?"


@contextmanager
def relay(url: str, model: str, retention: float, timeout_s: float) -> Iterator[tuple[str, Told]]:
    """Serve on a port of loopback; what to tell lmms-eval, and what will have been told.

    Args:
        url: of the service, without ``/v1``.
        model: as it calls it, whatever a request says.
        retention: share of visual tokens that is kept.
        timeout_s: longest to wait for an answer.
    """
    told, lock = Told(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._pass(None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self._pass(with_retention(body, model, retention) if self.path == _COMPLETIONS else body)

        def _pass(self, body: bytes | None) -> None:
            named = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED}
            try:
                status, data, kind = ask(f"{url}{self.path}", body, named, timeout_s)
            except UnansweredError as error:
                status, data, kind = 502, json.dumps({"error": {"message": str(error)}}).encode(), "application/json"
            if self.path == _COMPLETIONS:
                with lock:
                    told.add(status, read(data))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=[0.1])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", told
        finally:
            server.shutdown()
            thread.join()


def with_retention(body: bytes, model: str, retention: float) -> bytes:
    """A request's body with HERO's knob; as it is where it is no object, for the service to refuse."""
    asked = read(body)
    if not isinstance(asked, Mapping):
        return body
    return json.dumps({**asked, "model": model, "heroserve": {"retention": retention}}).encode()


def read(data: bytes) -> Any:
    """JSON; None for what is none."""
    try:
        return json.loads(data)
    except ValueError:
        return None
