"""OpenAI's own client on the HTTP port of a real Ray: the same answers as over gRPC, errors by status, hanging up."""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import openai
import pytest

import heroserve
from tests.support.llm_parts import picture, png
from tests.support.services import MAX_IMAGE_BYTES, Services
from tests.support.waiting import until

DATA = png(picture(300, 200))
URL = "data:image/png;base64," + base64.b64encode(DATA).decode()
QUESTION = "What is it?"
ASKED = [
    {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": URL}}, {"type": "text", "text": QUESTION}],
    }
]


@pytest.fixture
def api(services: Services) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{services.http}/v1", api_key="none is asked for", max_retries=0) as client:
        yield client


def test_the_same_answer_as_over_grpc(services: Services, api: openai.OpenAI, client: heroserve.Client):
    ours = client.ask(DATA, QUESTION, max_tokens=12, retention=0.3)
    (model,) = api.models.list().data
    theirs = api.chat.completions.create(
        model=model.id, messages=ASKED, max_tokens=12, extra_body={"heroserve": {"retention": 0.3}}
    )
    assert theirs.choices[0].message.content == ours.text
    assert theirs.choices[0].finish_reason == ours.finish_reason
    assert theirs.usage.completion_tokens == ours.usage.completion_tokens
    told = theirs.usage.model_extra["heroserve"]["visual_tokens"]
    assert told == {"total": ours.savings.total, "kept": ours.savings.kept, "dropped": ours.savings.dropped}
    stream = api.chat.completions.create(
        model=model.id,
        messages=ASKED,
        max_tokens=12,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"heroserve": {"retention": 0.3}},
    )
    *pieces, last = list(stream)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == ours.text
    assert len(pieces) > 3
    assert last.choices == []
    assert last.usage.prompt_tokens == theirs.usage.prompt_tokens


async def test_asynchronously(services: Services, client: heroserve.Client):
    async with openai.AsyncOpenAI(base_url=f"{services.http}/v1", api_key="x", max_retries=0) as api:
        stream = await api.chat.completions.create(model="", messages=ASKED, max_tokens=6, stream=True)
        text = "".join([piece.choices[0].delta.content or "" async for piece in stream])
    assert text == client.ask(DATA, QUESTION, max_tokens=6).text


def test_errors_have_their_status_and_the_callers_id(services: Services, api: openai.OpenAI):
    with pytest.raises(openai.BadRequestError, match="n: is 2; one answer") as refused:
        api.chat.completions.create(model="", messages=ASKED, n=2, extra_headers={"x-request-id": "mine-1"})
    assert (refused.value.param, refused.value.request_id) == ("n", "mine-1")
    assert any(line.get("method") == "openai/chat.completions" for line in services.lines("mine-1"))
    with pytest.raises(openai.NotFoundError, match="is not served here"):
        api.chat.completions.create(model="gpt-4o", messages=ASKED)
    with pytest.raises(openai.NotFoundError, match="POST /v1/embeddings is not served here"):
        api.embeddings.create(model="x", input="y")
    large = base64.b64encode(bytes(MAX_IMAGE_BYTES + 1)).decode()
    parts = [{"type": "image_url", "image_url": "data:;base64," + large}, {"type": "text", "text": "?"}]
    with pytest.raises(openai.BadRequestError) as refused:
        api.chat.completions.create(model="", messages=[{"role": "user", "content": parts}])
    assert refused.value.param == "messages[0].content[0].image_url.url"


def test_a_deadline_of_the_callers_own(api: openai.OpenAI):
    with pytest.raises(openai.InternalServerError) as late:
        api.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": "Go on"}],
            max_tokens=4000,
            extra_body={"ignore_eos": True},
            extra_headers={"heroserve-timeout": "0.4"},
        )
    assert late.value.status_code == 504


def test_health_and_nothing_else_of_serves(services: Services):
    with urllib.request.urlopen(f"{services.http}/health", timeout=10) as page:
        assert page.status == 200
    for path in ("/llm/v1/models", "/llm/", "/v1"):
        with pytest.raises(urllib.error.HTTPError) as lost:
            urllib.request.urlopen(f"{services.http}{path}", timeout=10)
        # It holds the connection.
        with lost.value as answer:
            assert answer.code == 404


@pytest.mark.parametrize("stream", [True, False])
def test_who_hangs_up_frees_the_engine(services: Services, stream: bool):
    ended = {"door": "http", "code": "CANCELLED"}
    cancelled = services.sample("llm", "heroserve_chat_requests_total", **ended)
    body = {
        "messages": [{"role": "user", "content": "Go on"}],
        "max_tokens": 4000,
        "ignore_eos": True,
        "stream": stream,
    }
    data = json.dumps(body).encode()
    at = urlsplit(services.http)
    # 4000 tokens take minutes here.
    before = services.sample("llm", "heroserve_generated_tokens_total")
    with socket.create_connection((at.hostname, at.port), timeout=30) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(data) + data
        )
        assert until(lambda: services.sample("llm", "heroserve_generated_tokens_total") > before + 3, 60, 0.1)
        if stream:
            assert b"200 OK" in caller.recv(1000)
    assert until(lambda: services.sample("llm", "heroserve_chat_requests_total", **ended) == cancelled + 1, 20, 0.2)
