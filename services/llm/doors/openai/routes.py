"""The paths of OpenAI's API and of ours beside it, as a FastAPI application that runs within a replica."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from services.common.admission import Admission
from services.common.errors import ServiceError
from services.common.gate import Gate
from services.common.http_call import HttpCall, HttpError, headers, told, unknown_url
from services.llm.chat import ChatPipeline
from services.llm.doors.openai import answer, fields
from services.llm.doors.openai.completion import Completion, Door
from services.llm.doors.openai.description import Description
from services.llm.doors.openai.files import NOT_SERVED, Files, Look, Upload
from services.llm.doors.openai.plan import Plan
from services.llm.kept_images import KeptImages
from services.llm.web.fetcher import ImageFetcher

# What logs and spans call them.
_COMPLETIONS = "openai/chat.completions"
_FILES = "openai/files"
_MODELS = "openai/models"
_PLAN = "http/plan"
_DESCRIBE = "http/describe"
_SERVED = "POST /v1/chat/completions, POST /v1/files, GET /v1/models and POST /v1/heroserve/plan are"
# Of a route that tells why it is none.
_REFUSED = "refused"


def application(
    *,
    gate: Gate,
    admission: Admission,
    uploads: Admission,
    chat: ChatPipeline,
    kept: KeptImages,
    describe: Callable[[], Awaitable[dict[str, Any]]],
    fetcher: ImageFetcher,
    model: str,
    context_length: int,
    detail: bool,
    max_images: int,
    timeout_s: float,
) -> FastAPI:
    """The application.

    Args:
        gate: every request passes it.
        admission: whose turn it is.
        uploads: whose turn it is to have a file kept or fetched, which is no work for the engine.
        chat: the heart.
        kept: where uploads go.
        describe: what runs here, and the encoder with it.
        fetcher: of images that are named by their address.
        model: what callers call it.
        context_length: of the model, in tokens.
        detail: whether an image's ``detail`` chooses a budget.
        max_images: of a conversation.
        timeout_s: longest a request may take.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await fetcher.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    door = Door(gate, admission, uploads, chat, fetcher, model, detail, max_images, timeout_s)
    files = Files(gate, uploads, kept, timeout_s)
    card = answer.model(model, int(time.time()), context_length)

    @app.post("/v1/chat/completions")
    async def create(request: Request) -> Response:
        """A chat completion: messages with images, answered whole or, with ``stream``, as it comes."""
        return await _with_body(request, _COMPLETIONS, partial(Completion, door))

    @app.post("/v1/heroserve/plan")
    async def plan(request: Request) -> Response:
        """What would be kept of the images of a chat completion's request, and why, without an answer."""
        return await _with_body(request, _PLAN, partial(Plan, door))

    @app.get("/v1/heroserve")
    async def description(request: Request) -> Response:
        """What the services run: model, limits, what it can be asked."""
        return Description(gate, describe, HttpCall(_DESCRIBE, request.headers, 0), timeout_s)

    @app.post("/v1/files")
    async def upload(request: Request) -> Response:
        """Keep an image (a form with ``file`` and ``purpose=vision``); its id is its SHA-256."""
        kind = request.headers.get("content-type", "")
        return await _with_body(request, _FILES, partial(Upload, files, content_type=kind))

    def refuse_by_name(method: str, path: str, why: str) -> None:
        async def refuse(request: Request) -> Response:
            def find() -> dict[str, object]:
                raise HttpError(405, "not_served", "", why, allow=", ".join(_methods(app, request)))

            return _guarded(gate, request, find, _FILES)

        app.add_api_route(f"/v1/files{path}", refuse, methods=[method], tags=[_REFUSED], description=f"Refused: {why}.")

    for (method, path), why in NOT_SERVED.items():
        refuse_by_name(method, path, why)

    @app.get("/v1/files/{name:path}")
    async def look(request: Request, name: str) -> Response:
        """Whether an image is kept."""
        return Look(files, HttpCall(_FILES, request.headers, 0), name)

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        """The one model that is served, in a list."""
        return _guarded(gate, request, lambda: {"object": "list", "data": [card.to_dict()]})

    @app.get("/v1/models/{name:path}")
    async def retrieve(request: Request, name: str) -> Response:
        """The same, by its name."""

        def find() -> dict[str, object]:
            if name != model:
                raise fields.no_such_model(name, model)
            return card.to_dict()

        return _guarded(gate, request, find)

    async def lost(request: Request, error: Exception) -> Response:
        found = isinstance(error, HTTPException) and error.status_code == 405

        def refuse() -> dict[str, object]:
            raise unknown_url(request.scope, _SERVED, _methods(app, request) if found else None)

        return _guarded(gate, request, refuse)

    app.add_exception_handler(HTTPException, lost)
    return app


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Those that are served at a request's path."""
    found: set[str] = set()
    for route in app.routes:
        if isinstance(route, APIRoute) and _REFUSED not in route.tags and route.matches(request.scope)[0] != Match.NONE:
            found |= route.methods or set()
    return sorted(found - {request.method})


async def _with_body(request: Request, method: str, exchange: Callable[[HttpCall, bytes], Response]) -> Response:
    """What is made of a request and its body."""
    try:
        body = await request.body()
    except ClientDisconnect:
        # Nobody reads what it is answered with.
        return Response(status_code=499)
    return exchange(HttpCall(method, request.headers, len(body)), body)


def _guarded(gate: Gate, request: Request, find: Callable[[], dict[str, object]], method: str = _MODELS) -> Response:
    """What takes no turn, for nothing is computed for it."""
    call = HttpCall(method, request.headers, 0)
    try:
        with gate.guard(call):
            response: Response = JSONResponse(find())
            call.answered(bytes(response.body))
    except ServiceError as error:
        status, body = told(error)
        response = Response(body, status, {k.decode(): v.decode() for k, v in headers(error, call.request_id)})
    response.headers["x-request-id"] = call.request_id
    return response
