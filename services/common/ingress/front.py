"""What the HTTP port serves: ``/readyz`` and ``/health``, Ray's ``/-/healthz``, the LLM service's ``/v1/`` and pages,
and nothing else of Serve's. What it refuses is told as OpenAI's API tells it, whatever the path: clients read nothing
else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from heroserve.methods import GENERATE
from services.common.grpc_call import sane_id
from services.common.health import ALIVE_PATH, READY_PATH
from services.common.http_call import REQUEST_ID, unknown_url
from services.common.ingress import pages
from services.common.ingress.http_answer import refuse
from services.common.ingress.pages import Page
from services.common.ingress.readiness import Readiness
from services.common.shown import shown

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD")
# What OpenAI's clients and those of other servers ask for.
API = "/v1/"
HEALTH = (READY_PATH, "/health")
# What an application may lack, see ``Replica.ready``: the LLM service's replicas name these.
EXCLUDABLE = ("encoder", "engine")


class Front:
    """Before Serve's HTTP proxy.

    Args:
        app: Serve's, behind an ``HttpDoor``.
        readiness: of this proxy.
        passed: paths that go on to it.
        pages: the LLM service's, by their paths.
    """

    def __init__(
        self,
        app: ASGIApp,
        readiness: Readiness,
        passed: Collection[str] = (ALIVE_PATH,),
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        self._app = app
        self._readiness = readiness
        self._passed = passed
        self._pages = pages or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # Before it is accepted: a refusal.
            await send({"type": "websocket.close", "code": 1000})
        elif scope["path"].startswith(API) and self._is_llm:
            await self._app(scope, receive, send)
        elif (page := self._page(scope)) is None and scope["path"] not in (*HEALTH, *self._passed):
            served = f"OpenAI's API is, below {API}, and " if self._is_llm else ""
            served += "GET /, the Playground, and " if self._page({"path": "/"}) else ""
            served += f"GET {READY_PATH}, which tells whether a question would be answered"
            await refuse(send, unknown_url(scope, served), _id(scope))
        elif scope["method"] not in _METHODS:
            await refuse(send, unknown_url(scope, "GET is", _METHODS), _id(scope))
        elif page is not None:
            await pages.answer(page, scope, send)
        elif scope["path"] in HEALTH:
            # As Kubernetes' own servers have it: ?exclude=encoder asks for all but that.
            without = parse_qs(scope["query_string"].decode("latin-1")).get("exclude", [])
            problem = self._readiness.problem(without=without)
            line = "\n".join([problem or "ready", *_unheeded(without)])
            await _answer(send, 503 if problem else 200, line)
        else:
            await self._app(scope, receive, send)

    @property
    def _is_llm(self) -> bool:
        return GENERATE.service in self._readiness.services

    def _page(self, scope: Mapping[str, Any]) -> Page | None:
        return self._pages.get(scope["path"]) if self._is_llm else None


def _id(scope: Scope) -> str:
    found = dict(scope["headers"]).get(REQUEST_ID.encode(), b"")
    return sane_id(found.decode("latin-1"))


def _unheeded(without: Collection[str]) -> list[str]:
    """What is to be left out and is nothing: told, not refused, or pods of another version would not be ready."""
    odd = [name for name in without if name not in EXCLUDABLE]
    return [f"exclude: {shown(odd[0])} is nothing that can be left out; {' and '.join(EXCLUDABLE)} are"] if odd else []


async def _answer(send: Send, status: int, line: str) -> None:
    body = f"{line}\n".encode()
    told = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    told.append((b"cache-control", b"no-store"))
    # Whatever else a caller has sent is not read.
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})
