"""The paths of OpenAI's API, as a FastAPI application that runs within a replica."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.common.admission import Admission
from services.common.errors import ServiceError
from services.common.gate import Gate
from services.common.http_call import HttpCall, HttpError, headers, told
from services.llm.chat import ChatPipeline
from services.llm.doors.openai import answer, fields
from services.llm.doors.openai.exchange import Door, Exchange

# What logs and spans call them.
_COMPLETIONS = "openai/chat.completions"
_MODELS = "openai/models"


def application(
    *,
    gate: Gate,
    admission: Admission,
    chat: ChatPipeline,
    model: str,
    context_length: int,
    detail: bool,
    timeout_s: float,
) -> FastAPI:
    """The application.

    Args:
        gate: every request passes it.
        admission: whose turn it is.
        chat: the heart.
        model: what callers call it.
        context_length: of the model, in tokens.
        detail: whether an image's ``detail`` chooses a budget.
        timeout_s: longest a request may take.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    door = Door(gate, admission, chat, model, detail, timeout_s)
    card = answer.model(model, int(time.time()), context_length)

    @app.post("/v1/chat/completions")
    async def create(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            # Nobody reads it.
            return Response(status_code=499)
        return Exchange(door, HttpCall(_COMPLETIONS, request.headers, len(body)), body)

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        return _guarded(gate, request, lambda: {"object": "list", "data": [card.to_dict()]})

    @app.get("/v1/models/{name:path}")
    async def retrieve(request: Request, name: str) -> Response:
        def find() -> dict[str, object]:
            if name != model:
                raise fields.no_such_model(name, model)
            return card.to_dict()

        return _guarded(gate, request, find)

    async def lost(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        # As the caller wrote it, without the application's own.
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        what = f"{request.method} {path}"

        def refuse() -> dict[str, object]:
            problem = f"{what[:120]} is not served here; POST /v1/chat/completions and GET /v1/models are"
            raise HttpError(status, "unknown_url", "", problem)

        return _guarded(gate, request, refuse)

    app.add_exception_handler(HTTPException, lost)
    return app


def _guarded(gate: Gate, request: Request, find: Callable[[], dict[str, object]]) -> Response:
    """What takes no turn, for nothing is computed for it."""
    call = HttpCall(_MODELS, request.headers, 0)
    try:
        with gate.guard(call):
            response: Response = JSONResponse(find())
            call.answered(bytes(response.body))
    except ServiceError as error:
        status, body = told(error)
        response = Response(body, status, {k.decode(): v.decode() for k, v in headers(error, call.request_id)})
    response.headers["x-request-id"] = call.request_id
    return response
