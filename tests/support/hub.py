"""A model hub on this machine: as much of its protocol as is asked of it, and a record of what was asked."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants


def commit(name: str) -> str:
    """A commit of that name: 40 hex digits."""
    return hashlib.sha1(name.encode()).hexdigest()


class Hub:
    """Models by id: folders by commit, commits by branch or tag. ``requests`` are METHOD PATH, as they came."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, Path]] = {}
        self.refs: dict[str, dict[str, str]] = {}
        self.requests: list[str] = []
        self.gated: set[str] = set()
        # Ends of paths: of those 500 is answered, or a byte at a time.
        self.failing: tuple[str, ...] = ()
        self.dripping: tuple[str, ...] = ()
        # What a model's answer has in place of what it should have.
        self.odd: dict[str, Any] = {}
        self.endpoint = ""

    def push(self, model: str, folder: Path, ref: str = "main") -> str:
        """A new commit with the files of a folder, to a branch."""
        self.commits.setdefault(model, {})
        made = commit(f"{model} {len(self.commits[model])}")
        self.commits[model][made] = folder
        self.refs.setdefault(model, {})[ref] = made
        return made

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        model, rest = ("/".join(parts[2:4]), parts[4:]) if api else ("/".join(parts[:2]), parts[2:])
        if model not in self.commits:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        revision = unquote(rest[1]) if len(rest) > 1 else "main"
        made = self.refs[model].get(revision, revision)
        if made not in self.commits[model]:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        folder = self.commits[model][made]
        if api:
            names = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()]
            found = {"id": model, "sha": made, "siblings": [{"rfilename": name} for name in names]} | self.odd
            return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        if model in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        if path.endswith(self.failing):
            return 500, {}, b""
        file = folder / "/".join(rest[2:])
        if not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": made}, b""
        body = file.read_bytes()
        return 200, {"X-Repo-Commit": made, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, body


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """It answers at ``hub.endpoint``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append(f"{self.command} {path}")
            status, headers, body = hub.answer(path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET" and not path.endswith(hub.dripping):
                self.wfile.write(body)
            elif self.command == "GET":
                _drip(self.wfile, body)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _drip(wfile: Any, body: bytes) -> None:
    """A byte in 20 ms, until nobody reads."""
    for byte in body:
        try:
            wfile.write(bytes([byte]))
            wfile.flush()
        except OSError:
            return
        time.sleep(0.02)


class Silent:
    """Takes connections and never answers; ``connections`` counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.connections = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            connection.close()


def point_to(patch: pytest.MonkeyPatch, endpoint: str, cache: Path) -> None:
    """This process's huggingface_hub to a hub and a cache: what HF_ENDPOINT and HF_HUB_CACHE do at its start."""
    patch.setattr(constants, "ENDPOINT", endpoint)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    # As services.common.node has it.
    patch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
