"""What callers are told where a vLLM beside does not answer as it should."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from scripts.free_port import free_port
from services.common.errors import FailedPrecondition, ResourceExhausted, ServiceError, Unavailable
from services.llm.engines.remote.agreement import Terms
from services.llm.engines.remote.failure import Failure
from services.llm.engines.remote.server import Server
from services.llm.refusal import Refusal
from tests.support.odd_server import OddServer, client, event, piece, says, stream


async def failure(server: OddServer, read_s: float = 30) -> tuple[list[Any], Failure]:
    """What came of an answer before it failed, and how."""
    events: list[Any] = []

    async def read(asked: Server) -> None:
        async for each in asked.answer({"messages": []}, {}):
            events.append(each)

    async with server.running(), client(server.url, read_s) as asked:
        with pytest.raises(Failure) as caught:
            await read(asked)
    return events, caught.value


def body(message: str, param: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": "x", "param": param, "code": 400}})


@pytest.mark.parametrize(
    ("status", "text", "kind", "words", "lost", "unsent"),
    [
        (400, body("too long, dear", "input_tokens"), Refusal, "too long, dear", False, False),
        (400, body("set `--enable-prompt-embeds`"), FailedPrecondition, "start it with --enable-prompt", True, True),
        (400, body("no such knob"), FailedPrecondition, "no such knob", False, False),
        (401, '{"error": "Unauthorized"}', FailedPrecondition, "HEROSERVE_VLLM_API_KEY", True, True),
        (403, "<html><b>no</b></html>", FailedPrecondition, "HEROSERVE_VLLM_API_KEY", True, True),
        (404, body("The model `x` does not exist"), FailedPrecondition, "model `x`", True, True),
        (413, "", FailedPrecondition, "fewer visual tokens", False, False),
        (429, body("busy"), ResourceExhausted, "busy", False, True),
        (500, body("boom"), Unavailable, "boom", False, False),
        (501, "", Unavailable, "501", False, False),
        (503, "<h1>draining</h1>", Unavailable, "draining", True, True),
        (502, "", Unavailable, "502", True, True),
        (418, "teapot", FailedPrecondition, "teapot", True, True),
        (204, "", FailedPrecondition, "204", True, True),
    ],
)
async def test_a_status_is_told_in_our_words(
    status: int, text: str, kind: type[Exception], words: str, lost: bool, unsent: bool
):
    server = OddServer()
    server.chat = says(status, text)
    events, failed = await failure(server)
    assert events == []
    assert type(failed.error) is kind
    assert words in str(failed.error)
    assert "<" not in str(failed.error)
    assert (failed.lost, failed.unsent) == (lost, unsent)


async def test_a_redirect_is_not_followed_for_the_key_would_go_along():
    elsewhere, server = OddServer(), OddServer()
    async with elsewhere.running():
        server.chat = says(307, Location=f"{elsewhere.url}/v1/chat/completions")
        _, failed = await failure(server)
    assert isinstance(failed.error, FailedPrecondition)
    assert "sends requests elsewhere (307)" in str(failed.error)
    assert elsewhere.asked == []


@pytest.mark.parametrize(("hint", "seconds"), [("7", 7.0), ("", 1.0), ("soon", 1.0), ("-3", 1.0), ("nan", 1.0)])
async def test_a_busy_server_says_when_to_come_back(hint: str, seconds: float):
    server = OddServer()
    server.chat = says(429, body("busy"), **({"Retry-After": hint} if hint else {}))
    _, failed = await failure(server)
    assert isinstance(failed.error, ResourceExhausted)
    assert (failed.error.retry_after_s, failed.error.label) == (seconds, "RESOURCE_EXHAUSTED/engine")


@pytest.mark.parametrize(
    ("pieces", "kind", "words"),
    [
        ([piece(5)], Unavailable, "broke off"),
        ([piece(5), event(error={"message": "engine died", "code": 500})], Unavailable, "engine died"),
        ([piece(5), event(error={"message": "no room", "code": 429})], ResourceExhausted, "no room"),
        ([piece(5), event(error="odd")], Unavailable, "odd"),
        ([piece(5), b"data: {nonsense\n\n"], FailedPrecondition, "vLLM 0.29 or newer"),
        ([piece(5), b"data: [1]\n\n"], FailedPrecondition, "vLLM 0.29 or newer"),
        ([piece(5), event(choices=[{"token_ids": ["6"], "delta": {}}])], FailedPrecondition, "vLLM 0.29 or newer"),
        # OpenAI's own, and whatever else speaks as it does: text alone.
        ([piece(5), event(choices=[{"delta": {"content": "hi"}}])], FailedPrecondition, "vLLM 0.29 or newer"),
    ],
)
async def test_a_stream_that_breaks_or_is_none_of_vllms_is_a_failure(
    pieces: list[bytes], kind: type[Exception], words: str
):
    server = OddServer()
    server.chat = stream(*pieces)
    events, failed = await failure(server)
    assert [each.tokens for each in events] == [(5,)]
    assert type(failed.error) is kind
    assert words in str(failed.error)


async def test_a_connection_that_breaks_is_a_failure_even_behind_whole_events():
    server = OddServer()
    server.chat = stream(piece(5), piece(6), cut=True)
    _, failed = await failure(server)
    assert isinstance(failed.error, Unavailable)
    assert failed.lost
    assert not failed.unsent


async def test_one_that_falls_silent_is_not_waited_for_for_ever():
    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(piece(5))
        await asyncio.sleep(60)
        return response

    server = OddServer()
    server.chat = silent
    events, failed = await failure(server, read_s=0.3)
    assert len(events) == 1
    assert isinstance(failed.error, Unavailable)
    assert "HEROSERVE_VLLM_TIMEOUT_S" in str(failed.error)


async def test_nobody_there_has_not_seen_the_request():
    async with client(f"http://127.0.0.1:{free_port()}") as server:
        with pytest.raises(Failure) as caught:
            await anext(server.answer({}, {}))
    assert isinstance(caught.value.error, Unavailable)
    assert caught.value.unsent
    # The other layer does not try again what was tried here.
    assert isinstance(caught.value.error, ServiceError)
    assert caught.value.error.retry_after_s == -1
    assert "127.0.0.1" not in caught.value.public


async def test_a_line_of_megabytes_is_read_for_prompts_are_told_in_one():
    ids = list(range(200_000))
    server = OddServer()
    server.chat = stream(piece(prompt_token_ids=ids), b": still here\n\n", piece(1, finish="stop"), b"data: [DONE]\n\n")
    async with server.running(), client(server.url) as asked:
        events = [each async for each in asked.answer({}, {})]
    assert events[0].prompt == tuple(ids)
    assert events[1].ended


@pytest.mark.parametrize(
    "models", [says(200, "{}"), says(200, '{"data": []}'), says(200, '{"data": [{"id": "gpt"}]}'), says(200, "<html>")]
)
async def test_what_is_no_vllm_is_told_so(models: Any):
    server = OddServer()
    server.models = models
    async with server.running(), client(server.url) as asked:
        with pytest.raises(Failure) as caught:
            await asked.agree(Terms([], "", None))
    assert isinstance(caught.value.error, FailedPrecondition)
    assert server.url in str(caught.value.error)
