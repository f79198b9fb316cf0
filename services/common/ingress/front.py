"""What the HTTP port serves: ``/readyz`` and ``/health``, Ray's ``/-/healthz``, the LLM service's ``/v1/``, and nothing
else of Serve's."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from heroserve.methods import GENERATE
from services.common.health import ALIVE_PATH, READY_PATH
from services.common.ingress.readiness import Readiness

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD")
# What OpenAI's clients and those of other servers ask for.
API = "/v1/"
_HEALTH = (READY_PATH, "/health")


class Front:
    """Before Serve's HTTP proxy.

    Args:
        app: Serve's, behind an ``HttpDoor``.
        readiness: of this proxy.
        passed: paths that go on to it.
    """

    def __init__(self, app: ASGIApp, readiness: Readiness, passed: Collection[str] = (ALIVE_PATH,)) -> None:
        self._app = app
        self._readiness = readiness
        self._passed = passed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # Before it is accepted: a refusal.
            await send({"type": "websocket.close", "code": 1000})
        elif scope["path"].startswith(API) and GENERATE.service in self._readiness.services:
            await self._app(scope, receive, send)
        elif scope["path"] not in (*_HEALTH, *self._passed):
            await _answer(send, 404, f"not found; {READY_PATH} tells whether a question would be answered")
        elif scope["method"] not in _METHODS:
            await _answer(send, 405, "GET is served here", (b"allow", ", ".join(_METHODS).encode()))
        elif scope["path"] in _HEALTH:
            # As Kubernetes' own servers have it: ?exclude=encoder asks for all but that.
            without = parse_qs(scope["query_string"].decode("latin-1")).get("exclude", [])
            problem = self._readiness.problem(without=without)
            await _answer(send, 503 if problem else 200, problem or "ready")
        else:
            await self._app(scope, receive, send)


async def _answer(send: Send, status: int, line: str, *headers: tuple[bytes, bytes]) -> None:
    body = f"{line}\n".encode()
    told = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    told += [(b"cache-control", b"no-store"), *headers]
    # Whatever else a caller has sent is not read.
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})
