"""A completion that is only planned: what it would read, and which pixels, by the same body and the same refusals."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from starlette.testclient import TestClient

import heroserve
from heroserve.v1.chat_pb2 import ChatDescription
from services.common.admission import Admission, Line
from services.common.gate import Gate
from services.llm import metrics, parts
from services.llm.doors.openai import description, routes
from services.llm.kept_images import KeptImages
from services.llm.settings import LlmSettings
from tests.support.llm_parts import picture, png

DATA = png(picture(300, 200))
URL = "data:image/png;base64," + base64.b64encode(DATA).decode()
PLAN, ASK = "/v1/heroserve/plan", "/v1/chat/completions"


def ask(retention: float = 0.3, **options: Any) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": URL}}, {"type": "text", "text": "What?"}]
    return {"messages": [{"role": "user", "content": content}], "heroserve": {"retention": retention}, **options}


@pytest.fixture
def web(untrained, encoder, prompts, splicer, engine) -> TestClient:
    settings = LlmSettings(model=untrained, max_images=4)

    async def describe() -> dict[str, Any]:
        found = ChatDescription(model="/somewhere/tiny", examples=["Why?"])
        found.encoder.max_image_bytes = 1 << 40
        return description.told(found, "tiny", 9001)

    app = routes.application(
        gate=Gate(("k",), metrics.REQUESTS, metrics.EXHAUSTED, 60),
        # Nobody's turn ever comes to have an answer generated.
        admission=Admission(1, Line(0, 0.001, 0)),
        uploads=Admission(4, Line(10, 10.0, 1 << 20)),
        chat=parts.open_chat(settings, encoder, prompts, splicer, engine),
        kept=KeptImages(encoder),
        describe=describe,
        fetcher=parts.open_fetcher(settings),
        model="tiny",
        context_length=engine.context_length,
        detail=False,
        max_images=4,
        timeout_s=60,
    )
    return TestClient(app, headers={"authorization": "Bearer k"})


def counted() -> list[float]:
    tokens = [metrics.PROMPT_TOKENS.labels(kind=kind)._value.get() for kind in ("text", "visual", "newline")]
    return [*tokens, metrics.PREFILL_FLOPS_SAVED._value.get(), metrics.GENERATED_TOKENS._value.get()]


@pytest.mark.parametrize("retention", [0.05, 0.3, 1.0])
def test_it_is_what_the_answer_is_billed(web, retention):
    before = counted()
    plan = web.post(PLAN, json=ask(retention)).json()
    # Nothing has been read, spared or written yet.
    assert counted() == before
    asked = ask(retention, max_tokens=2)
    asked["heroserve"]["explain"] = True
    answer = web.post(ASK, json=asked).json()
    told, billed = plan["usage"], answer["usage"]
    for field in ("prompt_tokens", "prompt_tokens_details"):
        assert told[field] == billed[field]
    for field in ("visual_tokens", "saved", "newline_tokens"):
        assert told["heroserve"][field] == billed["heroserve"][field]
    assert told["completion_tokens"] == 0
    assert (told["heroserve"]["image_cache"], billed["heroserve"]["image_cache"]) == (["miss"], ["hit"])
    # The very tokens that are then kept, and why.
    assert plan["heroserve"]["explanations"] == answer["heroserve"]["explanations"]


def test_its_rectangles_are_those_of_the_kept_tokens(web):
    plan = web.post(PLAN, json=ask()).json()
    explanation = heroserve.Explanation.from_dict(plan["heroserve"]["explanations"][0])
    (drawing,) = plan["heroserve"]["drawings"]
    assert (drawing["width"], drawing["height"]) == (300, 200)
    assert len(drawing["tiles"]) == len(explanation.tiles) > 2
    for tile, told in zip(explanation.tiles, drawing["tiles"], strict=True):
        boxes = [explanation.token_box(tile.index, position) for position in tile.positions]
        assert told["kept"] == [[round(each, 2) for each in (b.left, b.top, b.right, b.bottom)] for b in boxes]
        left, top, right, bottom = told["box"]
        assert all(left <= box[0] + 0.01 and box[2] <= right + 0.01 for box in told["kept"])
        assert all(top <= box[1] + 0.01 and box[3] <= bottom + 0.01 for box in told["kept"])
    assert drawing["tiles"][0]["box"] == [0, 0, 300, 200]


def test_several_images_and_none(web):
    two = ask()
    two["messages"][0]["content"] *= 2
    two["heroserve"]["share_budget"] = True
    told = web.post(PLAN, json=two).json()
    assert len(told["heroserve"]["drawings"]) == 2
    text = {"messages": [{"role": "user", "content": "What?"}]}
    told = web.post(PLAN, json=text).json()
    assert (told["heroserve"]["drawings"], told["usage"]["heroserve"]["image_cache"]) == ([], [])
    assert told["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize(
    ("asked", "status", "param"),
    [
        (ask() | {"messages": []}, 400, "messages"),
        (ask(2.0), 400, "heroserve.retention"),
        (ask(max_tokens=10**6), 400, "max_tokens"),
        (ask(n=2), 400, "n"),
        (ask(model="gpt"), 404, "model"),
        (ask(response_format={"type": "json_object"}), 400, "response_format"),
    ],
)
def test_what_an_answer_is_refused_for_a_plan_is_too(web, asked, status, param):
    refused = web.post(PLAN, json=asked)
    assert (refused.status_code, refused.json()["error"]["param"]) == (status, param)
    assert refused.json() == web.post(ASK, json=asked).json()


def test_it_has_the_gate_of_the_others(web):
    count = metrics.REQUESTS.labels(door="http", code="UNAUTHENTICATED")._value
    before = count.get()
    for request in (
        web.post(PLAN, json=ask(), headers={"authorization": ""}),
        web.get("/v1/heroserve", headers={"authorization": "Bearer x"}),
    ):
        assert request.status_code == 401
        assert request.headers["x-request-id"]
    assert count.get() == before + 2
    assert web.get(PLAN).headers["allow"] == "POST"


def test_what_runs_here(web):
    told = web.get("/v1/heroserve").json()
    assert (told["object"], told["model"], told["examples"], told["grpc_port"]) == (
        "heroserve.description",
        "tiny",
        ["Why?"],
        9001,
    )
    assert told["encoder"]["max_image_bytes"] == 1 << 40
    # An encoder that is away is told of, too.
    assert description.told(ChatDescription(), "tiny", 1)["encoder"] is None
