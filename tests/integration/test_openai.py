"""OpenAI's own client on the HTTP port of a real Ray: the same answers as over gRPC, errors by status, hanging up."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import openai
import pytest
import redis

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
    ours = client.ask(DATA, QUESTION, max_tokens=12, retention=0.3, explain=True)
    (model,) = api.models.list().data
    theirs = api.chat.completions.create(
        model=model.id, messages=ASKED, max_tokens=12, extra_body={"heroserve": {"retention": 0.3, "explain": True}}
    )
    assert theirs.choices[0].message.content == ours.text
    assert theirs.choices[0].finish_reason == ours.finish_reason
    assert theirs.usage.completion_tokens == ours.usage.completion_tokens
    told = theirs.usage.model_extra["heroserve"]["visual_tokens"]
    assert told == {"total": ours.savings.total, "kept": ours.savings.kept, "dropped": ours.savings.dropped}
    # What was kept, by both doors and by the encoder's own; the answer's also has what the language model was spared.
    (explained,) = ours.explanations
    (over_http,) = map(heroserve.Explanation.from_dict, theirs.model_extra["heroserve"]["explanations"])
    tokens = client.encode(DATA, QUESTION, retention=0.3, explain=True)
    assert (explained.grid, explained.tiles) == (over_http.grid, over_http.tiles) == (tokens.grid, tuple(tokens.tiles))
    assert explained.savings == ours.savings
    assert explained.savings.kv_cache_bytes > 0
    assert explained.draw(DATA, answer=ours.text).width > 500
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
    assert refused.value.param == "messages[0].content[0].image_url"


def test_a_picture_is_uploaded_once_and_asked_about_by_its_digest(services: Services, api: openai.OpenAI):
    data = png(picture(310, 190))
    digest = hashlib.sha256(data).hexdigest()
    part = {"type": "file", "file": {"file_id": digest}}
    asked = [{"role": "user", "content": [part, {"type": "text", "text": QUESTION}]}]
    with pytest.raises(openai.NotFoundError, match="upload it to /v1/files again") as lost:
        api.chat.completions.create(model="", messages=asked)
    assert (lost.value.param, lost.value.code) == ("messages[0].content[0].file.file_id", "file_not_found")

    def counted() -> tuple[float, float]:
        return tuple(
            services.sample("encoder", name, **labels)
            for name, labels in (
                ("heroserve_tower_batch_tiles_count", {}),
                ("heroserve_visual_tokens_total", {"outcome": "kept"}),
            )
        )

    passes, kept = counted()
    file = api.files.create(file=("x.png", data), purpose="vision")
    assert (file.id, file.bytes) == (digest, len(data))
    assert api.files.retrieve(file.id).status == "processed"
    # Encoded once, and nothing of it asked for yet.
    assert counted() == (passes + 1, kept)
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    whole = {"type": "image_url", "image_url": {"url": url}}
    texts = []
    for each in (part, {"type": "image_url", "image_url": {"url": f"file-{digest}"}}, whole):
        message = {"role": "user", "content": [each, {"type": "text", "text": QUESTION}]}
        for retention in (0.2, 1.0):
            answer = api.chat.completions.create(
                model="", messages=[message], max_tokens=8, extra_body={"heroserve": {"retention": retention}}
            )
            texts.append((retention, answer.choices[0].message.content))
    assert len(set(texts)) == len({retention for retention, _ in texts}) == 2
    assert counted()[0] == passes + 1

    # Only half of it is left: it is not there, and comes back.
    with redis.Redis.from_url(services.redis.url) as store:
        assert store.delete(*store.keys(f"*{digest}:rows")) == 1
    with pytest.raises(openai.NotFoundError):
        api.files.retrieve(digest)
    assert api.files.create(file=data, purpose="vision").id == digest
    assert api.files.retrieve(digest).id == digest


def test_what_can_not_be_uploaded(services: Services, api: openai.OpenAI):
    for data, problem in ((b"no picture", "is not an image"), (bytes(MAX_IMAGE_BYTES + 1), "the limit is 2000000")):
        with pytest.raises(openai.BadRequestError, match=f"^.*file: .*{problem}") as refused:
            api.files.create(file=data, purpose="vision")
        assert refused.value.param == "file"
    with pytest.raises(openai.BadRequestError, match="purpose: is 'assistants'; files are kept for vision alone"):
        api.files.create(file=DATA, purpose="assistants")


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


def test_a_plan_is_what_the_answer_reads_and_takes_no_tower(services: Services, client: heroserve.Client):
    answer = client.ask(DATA, QUESTION, retention=0.15, max_tokens=1, explain=True)
    passes = services.sample("encoder", "heroserve_tower_batch_tiles_count")
    kept = services.sample("encoder", "heroserve_visual_tokens_total", outcome="kept")
    asked = json.dumps({"messages": ASKED, "heroserve": {"retention": 0.15}}).encode()
    request = urllib.request.Request(f"{services.http}/v1/heroserve/plan", asked, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answered:
        plan = json.load(answered)
    told = heroserve.Explanation.from_dict(plan["heroserve"]["explanations"][0])
    assert (told.grid, told.tiles) == (answer.explanations[0].grid, answer.explanations[0].tiles)
    assert plan["usage"]["heroserve"]["saved"]["kv_cache_bytes"] == answer.savings.kv_cache_bytes
    assert plan["usage"]["heroserve"]["image_cache"] == ["hit"]
    assert services.sample("encoder", "heroserve_tower_batch_tiles_count") == passes
    assert services.sample("encoder", "heroserve_visual_tokens_total", outcome="kept") == kept


def test_the_playgrounds_page_and_what_it_asks_first(services: Services):
    with urllib.request.urlopen(f"{services.http}/", timeout=10) as page:
        assert b"<title>heroserve Playground" in page.read()
        assert "script-src 'self';" in page.headers["content-security-policy"]
    with urllib.request.urlopen(f"{services.http}/v1/heroserve", timeout=30) as described:
        told = json.load(described)
    assert told["encoder"]["max_image_bytes"] == MAX_IMAGE_BYTES
