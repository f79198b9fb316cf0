"""An HTTP server that says what a test has it say: what no vLLM would, or only one that is about to die."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from services.llm.engines.remote.server import Server

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def event(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def piece(*tokens: int, finish: str | None = None, **more: Any) -> bytes:
    """Of an answer, as vLLM's are."""
    return event(choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": finish, "token_ids": tokens}], **more)


def stream(*pieces: bytes, cut: bool = False) -> Answer:
    """These; then the end, or a connection that breaks."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for each in pieces:
            await response.write(each)
        if cut:
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


def says(status: int, body: str = "", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return answer


class OddServer:
    """Attributes: asked: requests for an answer that have come; chat, models, health: what it says."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.chat: Answer = stream()
        self.models: Answer = says(200, json.dumps({"data": [{"id": "odd", "max_model_len": 100}]}), **_JSON)
        self.health: Answer = says(200)
        self.url = ""

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(json.loads(await request.read()))
        self.headers.append(request.headers)
        return await self.chat(request)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await self.models(request)

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return await self.health(request)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[OddServer]:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_post("/v1/chat/completions", self._chat)
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/health", self._health)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()


@asynccontextmanager
async def client(url: str, read_s: float = 30) -> AsyncIterator[Server]:
    """What the service asks it by."""
    async with aiohttp.ClientSession() as session:
        server = Server(url, session, aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=read_s))
        yield server


_JSON = {"Content-Type": "application/json"}
