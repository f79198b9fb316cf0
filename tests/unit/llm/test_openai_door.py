"""Over OpenAI's API: every request is taken or refused by the name of its field, and answered as its clients expect."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

import heroserve
from services.common.admission import Admission, Line
from services.common.budget import MaxVisualTokens, Retention
from services.common.errors import ResourceExhausted, ServiceError, Unavailable
from services.common.gate import Gate
from services.common.http_call import told
from services.llm import metrics, parts
from services.llm.answer import Bill, Delta, Savings, Timings, Usage
from services.llm.doors.openai import body, request, routes
from services.llm.doors.openai.fields import words
from services.llm.job import ImagePart, Sampling, check
from services.llm.kept_images import KeptImages
from services.llm.refusal import Refusal
from services.llm.settings import LlmSettings
from tests.support.llm_parts import collect, job, picture, png

DATA = png(picture(120, 90))
URL = "data:image/png;base64," + base64.b64encode(DATA).decode()
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
TEXT = {"type": "text", "text": "What?"}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def ask(*messages: Any, **options: Any) -> dict[str, Any]:
    return {"messages": list(messages) or [user(IMAGE, TEXT)], **options}


def parsed(body_of: dict[str, Any], **options: Any) -> request.Asked:
    """As the door and the heart read it, off the wire."""
    asked = request.parse(body.read(json.dumps(body_of).encode()), parts.open_fetcher(LlmSettings()), **options)
    try:
        check(asked.job, max_images=4)
    except Refusal as refusal:
        raise words(asked.limit, asked.named).refused(refusal) from refusal
    return asked


REFUSED = {
    "nothing": ({}, "messages", "is null"),
    "no message": (ask() | {"messages": []}, "messages", "is empty"),
    "messages of text": (ask() | {"messages": "hi"}, "messages", "an array"),
    "a message of text": (ask("hi"), "messages[0]", "an object"),
    "no role": (ask({"content": "x"}), "messages[0].role", "is null"),
    "a tool's answer": (ask({"role": "tool", "content": "x"}), "messages[0].role", "'tool'"),
    "an odd role": (ask({"role": ["user"], "content": "x"}), "messages[0].role", "an array"),
    "a tool that was called": (
        ask({"role": "assistant", "content": None, "tool_calls": [{}]}, user(TEXT)),
        "messages[0].tool_calls",
        "calls no tools",
    ),
    "no content": (ask({"role": "user"}), "messages[0].content", "is null"),
    "no parts": (ask(user()), "messages[0].content", "at least one part"),
    "last is assistant": (ask(user(TEXT), {"role": "assistant", "content": "x"}), "messages[1].role", "the user's"),
    "no question": (ask(user(IMAGE)), "messages[0].content", "no text"),
    "system's image": (ask({"role": "system", "content": [IMAGE]}, user(TEXT)), "messages[0].content", "text only"),
    "audio": (ask(user({"type": "input_audio"}, TEXT)), "messages[0].content[0].type", "text or image_url"),
    "no text": (ask(user({"type": "text"})), "messages[0].content[0].text", "a string"),
    "half a character": (ask(user({"type": "text", "text": "a\ud83d"})), "messages[0].content[0].text", "place 2"),
    "half a character in a stop": (ask(stop=["\udc00"]), "stop[0]", "half a character"),
    "no image": (ask(user(TEXT, {"type": "image_url"})), "messages[0].content[1].image_url", "a string"),
    "no url": (ask(user({"type": "image_url", "image_url": {}}, TEXT)), "messages[0].content[0].image_url.url", "null"),
    "an address": (
        ask(user({"type": "image_url", "image_url": "https://x/y.png"}, TEXT)),
        "messages[0].content[0].image_url",
        "nothing is fetched here",
    ),
    "a file": (
        ask(user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, TEXT)),
        "messages[0].content[0].image_url.url",
        "a file: URL",
    ),
    "a path": (
        ask(user({"type": "image_url", "image_url": {"url": "/etc/passwd"}}, TEXT)),
        "messages[0].content[0].image_url.url",
        "is no URL",
    ),
    "no comma": (
        ask(user({"type": "image_url", "image_url": {"url": "data:image/png"}}, TEXT)),
        "messages[0].content[0].image_url.url",
        "comma",
    ),
    "no base64": (
        ask(user({"type": "image_url", "image_url": {"url": "data:image/png;base64,a_b"}}, TEXT)),
        "messages[0].content[0].image_url.url",
        "not base64",
    ),
    "empty": (
        ask(user({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, TEXT)),
        "messages[0].content[0].image_url.url",
        "is empty",
    ),
    "n": (ask(n=2), "n", "one answer"),
    "tools": (ask(tools=[{"type": "function"}]), "tools", "no tools"),
    "a tool that must be": (ask(tool_choice="required"), "tool_choice", "'required'"),
    "logprobs": (ask(logprobs=True), "logprobs", "not told"),
    "a penalty": (ask(presence_penalty=0.5), "presence_penalty", "is 0.5"),
    "a bias": (ask(logit_bias={"5": 3}), "logit_bias", "an object"),
    "top_k": (ask(top_k=5), "top_k", "is 5"),
    "a form of numbers": (ask(response_format=5), "response_format", "an object"),
    "no such form": (ask(response_format={"type": "xml"}), "response_format.type", "json_schema"),
    "a form without a type": (ask(response_format={"schema": {}}), "response_format.type", "json_schema"),
    "no schema": (
        ask(response_format={"type": "json_schema", "json_schema": {"name": "a"}}),
        "response_format.json_schema.schema",
        "a JSON Schema",
    ),
    "a schema of text": (
        ask(response_format={"type": "json_schema", "json_schema": {"schema": "{}"}}),
        "response_format.json_schema.schema",
        "an object",
    ),
    "a long schema": (
        ask(response_format={"type": "json_schema", "json_schema": {"schema": {"title": "a" * 70_000}}}),
        "response_format",
        "the limit is 65536",
    ),
    "temperature of text": (ask(temperature="0.5"), "temperature", "a number"),
    "temperature true": (ask(temperature=True), "temperature", "true; it must be a number"),
    "hot": (ask(temperature=3), "temperature", "0 to 2"),
    "as hot as can be": (ask(temperature=10**400), "temperature", "0 to 2"),
    "top_p": (ask(top_p=0), "top_p", "above 0"),
    "no token": (ask(max_tokens=0), "max_tokens", "is 0"),
    "no token, newly": (ask(max_completion_tokens=-1), "max_completion_tokens", "is -1"),
    "half a token": (ask(max_tokens=1.5), "max_tokens", "a whole number"),
    "a seed of text": (ask(seed="1"), "seed", "a whole number"),
    "stop of numbers": (ask(stop=[1]), "stop[0]", "a string"),
    "an empty stop": (ask(stop=["a", ""]), "stop[1]", "0 characters"),
    "stops": (ask(stop=list("abcdefghi")), "stop", "the limit is 8"),
    "stream of text": (ask(stream="yes"), "stream", "true or false"),
    "a misspelt knob": (ask(heroserve={"retension": 0.2}), "heroserve.retension", "no option; retention"),
    "two knobs": (ask(heroserve={"retention": 0.2, "max_visual_tokens": 4}), "heroserve", "name one"),
    "retention": (ask(heroserve={"retention": 0}), "heroserve.retention", "above 0"),
    "retention of text": (ask(heroserve={"retention": "0.2"}), "heroserve.retention", "a number"),
    "tokens": (ask(heroserve={"max_visual_tokens": 0}), "heroserve.max_visual_tokens", "from 1"),
    "explain": (ask(heroserve={"explain": "yes"}), "heroserve.explain", "true or false"),
    "replan": (ask(heroserve={"replan": 1}), "heroserve.replan", "true or false"),
    "a knob": (ask(heroserve=0.2), "heroserve", "an object"),
    "a model of numbers": (ask(model=4), "model", "a string"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_field_and_the_limit(name: str):
    asked, field, problem = REFUSED[name]
    with pytest.raises(ServiceError) as caught:
        parsed(asked)
    status, told_as = told(caught.value)
    error = json.loads(told_as)["error"]
    assert (status, error["param"]) == (400, field)
    assert error["message"].startswith(f"{field}: ")
    assert problem in error["message"]
    assert len(error["message"].splitlines()) == 1
    assert len(error["message"]) < 300


NOT_READ = {
    "no JSON": (b"{", "no JSON"),
    "no object": (b"[]", "object"),
    "no UTF-8": (b'{"model": "\xff"}', "byte 12 is 0xff"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "NaN": (b'{"temperature": NaN}', "NaN is no number"),
    "a deep one": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "in one another"),
    "many pieces": (b'{"a": [' + b"0," * 600_000 + b"0]}", "the limit is"),
    "a long number": (b'{"seed": ' + b"1" * 5000 + b"}", "a whole number of 5000 digits; the limit is 4300"),
    "a long number below 0": (b'{"a": [-' + b"1" * 4301 + b"]}", "a whole number of 4301 digits; the limit is 4300"),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbf{}", "no JSON: Expecting value"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_no_request(name: str):
    data, problem = NOT_READ[name]
    with pytest.raises(ServiceError, match=problem) as caught:
        body.read(data)
    assert told(caught.value)[0] == 400
    assert "\n" not in caught.value.message
    # Python's own advice is none to a caller.
    assert not any(word in caught.value.message for word in ("sys.", "utf-8-sig"))


def test_a_byte_order_mark_before_a_request_is_none_of_it():
    assert body.read(b'\xef\xbb\xbf{"seed": -' + b"1" * 4300 + b"}") == {"seed": -int("1" * 4300)}


def test_everything_asked_for_arrives():
    asked = parsed(
        ask(
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [TEXT, {"type": "image_url", "image_url": URL, "uuid": "x"}]},
            {"role": "assistant", "content": None},
            user({"type": "text", "text": "Which?"}),
            max_tokens=9,
            max_completion_tokens=5.0,
            temperature=1,
            top_p=0.25,
            seed=-1,
            stop="\n",
            ignore_eos=True,
            stream=True,
            stream_options={"include_usage": True, "continuous_usage_stats": True},
            heroserve={
                "max_visual_tokens": 7,
                "retention": None,
                "replan": True,
                "share_budget": True,
                "explain": True,
            },
        )
    )
    assert asked.job.sampling == Sampling(5, 1.0, 0.25, (1 << 64) - 1, ("\n",), ignore_eos=True)
    assert asked.job.budget == MaxVisualTokens(7)
    assert [turn.role for turn in asked.job.turns] == ["system", "user", "assistant", "user"]
    assert asked.job.turns[1].parts == ("What?", ImagePart(data=DATA))
    assert (asked.job.question, asked.job.replan, asked.job.share_budget, asked.job.explain) == (
        "Which?",
        True,
        True,
        True,
    )
    assert (asked.stream, asked.usage, asked.usage_throughout) == (True, True, True)


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        (None, None),
        ({}, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, '{"type": "object"}'),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": {"enum": ["\u00e9"]}}},
            '{"enum": ["\\u00e9"]}',
        ),
    ],
)
def test_a_schema_is_asked_for(form: object, schema: str | None):
    assert parsed(ask(response_format=form)).job.sampling.json_schema == schema


def test_what_clients_send_unasked_changes_nothing():
    image = {"type": "image_url", "image_url": {"url": URL, "detail": "low", "min_pixels": 4}, "uuid": None}
    noise = {
        **dict.fromkeys(("stop", "seed", "max_tokens", "temperature", "top_p", "tools", "logprobs", "heroserve")),
        "n": 1,
        "logit_bias": {},
        "presence_penalty": 0.0,
        "top_k": -1,
        "user": "u",
        "metadata": {"a": "b"},
        "response_format": {"type": "text"},
        "stream_options": None,
        "chat_id": "c",
        "tool_choice": "none",
    }
    assert parsed(ask(user(image, TEXT), **noise)) == parsed(ask())


@pytest.mark.parametrize(
    ("details", "knobs", "budget"),
    [
        (["low"], None, request.LOW_DETAIL),
        (["low", "low"], None, request.LOW_DETAIL),
        (["low", "high"], None, None),
        ([None], None, None),
        (["low"], {"retention": 0.5}, Retention(0.5)),
    ],
)
def test_detail_means_a_budget_where_it_is_set_up_so(details: Any, knobs: Any, budget: Any):
    images = [{"type": "image_url", "image_url": {"url": URL, "detail": detail}} for detail in details]
    asked = ask(user(*images, TEXT), heroserve=knobs)
    assert parsed(asked, detail=True).job.budget == budget
    assert parsed(asked).job.budget == (budget if knobs else None)


async def nothing_to_tell() -> dict[str, Any]:
    return {}


@pytest.fixture
def serve(untrained, encoder, prompts, splicer, engine):
    """Makes clients of the door in front of a heart: the real one, or another."""

    def make(chat: Any = None, keys: tuple[str, ...] = (), timeout_s: float = 60.0, **options: Any) -> TestClient:
        read = LlmSettings(model=untrained)
        app = routes.application(
            gate=Gate(keys, metrics.REQUESTS, metrics.EXHAUSTED, timeout_s),
            admission=options.get("admission", Admission(4, Line(10, 10.0, 1 << 20))),
            uploads=Admission(4, Line(10, 10.0, 1 << 20)),
            chat=chat or parts.open_chat(read, encoder, prompts, splicer, engine),
            kept=KeptImages(encoder),
            describe=nothing_to_tell,
            fetcher=options.get("fetcher", parts.open_fetcher(read)),
            model="tiny",
            context_length=engine.context_length,
            detail=False,
            max_images=options.get("max_images", read.max_images),
            timeout_s=timeout_s,
        )
        return TestClient(app)

    return make


def events(text: str) -> list[Any]:
    lines = [line for line in text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


async def test_the_hearts_answer(serve, untrained, encoder, prompts, splicer, engine):
    heart = parts.open_chat(LlmSettings(model=untrained), encoder, prompts, splicer, engine)
    *deltas, bill = await collect(heart.generate(job("What?", DATA, max_tokens=8, retention=0.3)))
    text = "".join(delta.text for delta in deltas)
    client = serve()
    asked = ask(max_tokens=8, heroserve={"retention": 0.3}, model="tiny")
    answered = client.post("/v1/chat/completions", json=asked, headers={"x-request-id": "mine"})
    assert answered.headers["x-request-id"] == "mine"
    whole = openai.types.chat.ChatCompletion.model_validate(answered.json())
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (text, bill.finish_reason)
    usage = whole.usage
    assert usage.prompt_tokens_details.text_tokens == bill.usage.prompt_text_tokens
    assert usage.prompt_tokens == usage.prompt_tokens_details.text_tokens + usage.prompt_tokens_details.image_tokens
    assert usage.completion_tokens == bill.usage.completion_tokens == 8
    assert usage.model_extra["heroserve"]["visual_tokens"]["dropped"] == bill.savings.dropped > 0

    saved = usage.model_extra["heroserve"]["saved"]
    assert saved == {
        "prefill_flops": bill.savings.prefill_flops,
        "kv_cache_bytes": bill.savings.kv_cache_bytes,
    }
    assert "heroserve" not in whole.model_extra

    told_in_pieces = {"include_usage": True, "continuous_usage_stats": True}
    streamed = client.post("/v1/chat/completions", json=asked | {"stream": True, "stream_options": told_in_pieces})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    # Else a proxy of nginx's kind holds it back.
    assert streamed.headers["x-accel-buffering"] == "no"
    *pieces, last, done = events(streamed.text)
    assert done == "[DONE]"
    assert pieces[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces) == text
    assert [p["choices"][0]["finish_reason"] for p in pieces] == [None] * (len(pieces) - 1) + [bill.finish_reason]
    so_far = [piece["usage"]["completion_tokens"] for piece in pieces[1:]]
    assert so_far == sorted(so_far)
    assert so_far[-1] == 8
    assert (last["choices"], last["usage"]["prompt_tokens"]) == ([], usage.prompt_tokens)
    plain = events(client.post("/v1/chat/completions", json=asked | {"stream": True}).text)
    assert not any("usage" in piece for piece in plain[:-1])


@pytest.mark.parametrize("usage", [True, False])
async def test_what_was_kept_is_explained_beside_the_answer(serve, usage):
    client = serve()
    asked = ask(max_tokens=3, heroserve={"retention": 0.3, "explain": True})
    whole = openai.types.chat.ChatCompletion.model_validate(client.post("/v1/chat/completions", json=asked).json())
    (told,) = whole.model_extra["heroserve"]["explanations"]
    explanation = heroserve.Explanation.from_dict(told)
    dropped = whole.usage.model_extra["heroserve"]["visual_tokens"]["dropped"]
    assert explanation.savings.dropped == dropped > 0
    assert explanation.draw(DATA).width > 500
    asked |= {"stream": True} | ({"stream_options": {"include_usage": True}} if usage else {})
    pieces = [event for event in events(client.post("/v1/chat/completions", json=asked).text) if event != "[DONE]"]
    # With the last piece of the answer, whether or not usage is asked for; in no other.
    (last,) = [piece for piece in pieces if "heroserve" in piece]
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["heroserve"]["explanations"] == [told]
    text = ask({"role": "user", "content": "Go on"}, max_tokens=1, heroserve={"explain": True})
    assert client.post("/v1/chat/completions", json=text).json()["heroserve"] == {"explanations": []}


def test_an_end_token_may_be_passed_over(serve, engine, monkeypatch):
    client = serve()
    asked = ask({"role": "user", "content": "Go on"}, max_tokens=6)
    monkeypatch.setattr(engine, "end_tokens", frozenset(range(100_000)))
    ended = client.post("/v1/chat/completions", json=asked).json()
    assert (ended["usage"]["completion_tokens"], ended["choices"][0]["finish_reason"]) == (1, "stop")
    went_on = client.post("/v1/chat/completions", json=asked | {"ignore_eos": True}).json()
    assert (went_on["usage"]["completion_tokens"], went_on["choices"][0]["finish_reason"]) == (6, "length")


class Scripted:
    """A heart that says what it is told, and remembers that it was closed."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = pieces
        self.closed = False

    async def generate(self, job: Any) -> Any:
        try:
            for piece in self._pieces:
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    await asyncio.sleep(60)
                yield piece
        finally:
            self.closed = True


USAGE = Usage(3, 0, 0, 1)
HELLO = Delta("Hello", USAGE)
END = Bill("stop", USAGE, Savings(0, 0), Timings(0, 0, 0))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable("the encoder is away"), 503),
        (ResourceExhausted("too many", retry_after_s=1.2, reason="encoder"), 429),
        (RuntimeError("secret"), 500),
    ],
)
def test_what_fails_at_once_has_its_status(serve, stream, error, status):
    answered = serve(Scripted(error)).post("/v1/chat/completions", json=ask(stream=stream))
    assert answered.status_code == status
    assert "secret" not in answered.text
    assert set(answered.json()["error"]) == {"message", "type", "param", "code"}
    assert (answered.headers.get("retry-after"), answered.headers.get("retry-after-ms")) == (
        ("2", "1200") if status == 429 else (None, None)
    )


def test_a_stream_that_breaks_says_so_and_never_that_it_is_done(serve):
    answered = serve(Scripted(HELLO, Unavailable("gone"))).post("/v1/chat/completions", json=ask(stream=True))
    *_, hello, error = events(answered.text)
    assert hello["choices"][0]["delta"]["content"] == "Hello"
    assert error["error"]["message"] == "gone"
    assert "[DONE]" not in answered.text


@pytest.mark.parametrize(("pieces", "stream", "status"), [((None,), False, 504), ((HELLO, None), True, 200)])
def test_the_deadline_ends_it(serve, pieces, stream, status):
    heart = Scripted(*pieces)
    answered = serve(heart, timeout_s=0.5).post("/v1/chat/completions", json=ask(stream=stream))
    assert answered.status_code == status
    assert "the deadline has passed" in answered.text
    assert "[DONE]" not in answered.text
    assert heart.closed


async def test_who_hangs_up_ends_it(serve):
    heart = Scripted(HELLO, None)
    app: Any = serve(heart).app
    data = json.dumps(ask(stream=True)).encode()
    messages = [{"type": "http.request", "body": data, "more_body": False}]
    said = asyncio.Event()

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await said.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if b"Hello" in message.get("body", b""):
            said.set()

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": [], "query_string": b""}
    await asyncio.wait_for(app({**scope, "asgi": {"version": "3.0"}}, receive, send), 30)
    assert heart.closed


def test_keys_models_and_paths(serve):
    client = serve(Scripted(HELLO, END), keys=("k1", "k2"))
    for wrong in ({}, {"authorization": "Bearer k3"}, {"authorization": "k1"}):
        for path in ("/v1/models", "/v1/chat/completions"):
            answered = client.request("GET" if "models" in path else "POST", path, headers=wrong)
            assert (answered.status_code, answered.json()["error"]["code"]) == (401, "invalid_api_key")
    client.headers["authorization"] = "Bearer k2"
    (card,) = client.get("/v1/models").json()["data"]
    assert (card["id"], card["object"]) == ("tiny", "model")
    assert client.get("/v1/models/tiny").json() == card
    for answered in (client.get("/v1/models/a/b"), client.post("/v1/chat/completions", json=ask(model="gpt-4o"))):
        assert (answered.status_code, answered.json()["error"]["code"]) == (404, "model_not_found")
    assert client.post("/v1/chat/completions", json=ask()).json()["choices"][0]["message"]["content"] == "Hello"
    under = TestClient(client.app, root_path="/llm", headers=dict(client.headers))
    assert "POST /v1/x is not" in under.post("/llm/v1/x").json()["error"]["message"]
    for method, path, status, allowed in (
        ("POST", "/v1/completions", 404, None),
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("OPTIONS", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/v1/models", 405, "GET"),
        # Not what is refused there by name.
        ("PUT", "/v1/files", 405, "POST"),
        ("POST", "/v1/files/x", 405, "GET"),
        # Who is sent elsewhere would be sent to a path that only the application has.
        ("POST", "/v1/chat/completions/", 404, None),
        ("POST", "/v1/files/", 405, "GET"),
    ):
        answered = client.request(method, path)
        assert (answered.status_code, answered.json()["error"]["code"]) == (status, "unknown_url")
        assert answered.headers.get("allow") == allowed
        assert answered.headers["x-request-id"]
    for method, path, allowed in (("GET", "/v1/files", "POST"), ("DELETE", "/v1/files/x", "GET")):
        answered = client.request(method, path)
        assert (answered.status_code, answered.json()["error"]["code"]) == (405, "not_served")
        assert answered.headers["allow"] == allowed


# That the page is asked for which waits to be told to go on.
SLOW, GO_ON = threading.Event(), threading.Event()


@pytest.fixture
def pages() -> Iterator[tuple[int, list[str]]]:
    """A web server with the picture at every path but /no; its port, and what it was asked."""
    asked: list[str] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/slow":
                SLOW.set()
                GO_ON.wait(30)
            self.send_response(404 if self.path == "/no" else 200)
            self.end_headers()
            self.wfile.write(b"s3cret" if self.path == "/no" else DATA)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


class Listening(Scripted):
    """Remembers the job."""

    job: Any = None

    async def generate(self, job: Any) -> Any:
        self.job = job
        async for piece in super().generate(job):
            yield piece


def test_an_image_is_fetched_before_its_request_takes_a_turn(serve, pages):
    port, _ = pages
    read = LlmSettings(image_hosts=(f"127.0.0.1:{port}",), image_networks=("127.0.0.0/8",))
    there = {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{port}/slow"}}
    heart = Listening(HELLO, END)
    with serve(heart, fetcher=parts.open_fetcher(read), admission=Admission(1, Line(0, 0.0, 0))) as client:
        waiting = threading.Thread(
            target=client.post, args=("/v1/chat/completions",), kwargs={"json": ask(user(there, TEXT))}
        )
        waiting.start()
        assert SLOW.wait(30)
        # The only turn there is.
        answered = client.post("/v1/chat/completions", json=ask({"role": "user", "content": "Go on"}))
        assert answered.status_code == 200
        GO_ON.set()
        waiting.join()
    assert heart.job.turns[0].parts[0] == ImagePart(data=DATA)


def test_an_image_is_fetched_once_a_request_from_who_is_named(serve, pages):
    port, asked = pages
    read = LlmSettings(image_hosts=(f"127.0.0.1:{port}",), image_networks=("127.0.0.0/8",))
    heart = Listening(HELLO, END)
    there = {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{port}/a.png?key=s3cret"}}
    with serve(heart, fetcher=parts.open_fetcher(read), max_images=3) as client:
        two = [user(there, TEXT), {"role": "assistant", "content": "Hm."}, user(TEXT, IMAGE, there)]
        answered = client.post("/v1/chat/completions", json=ask(*two))
        assert answered.json()["choices"][0]["message"]["content"] == "Hello"
        assert heart.job.turns[0].parts == (ImagePart(data=DATA), "What?")
        assert heart.job.turns[2].parts == ("What?", ImagePart(data=DATA), ImagePart(data=DATA))
        assert asked == ["/a.png?key=s3cret"]

        # Too many to be served are too many to be fetched.
        refused = client.post("/v1/chat/completions", json=ask(user(*[there] * 4, TEXT)))
        assert "have 4 images; the limit is 3" in refused.json()["error"]["message"]
        # Nor is one for what can't be answered whatever it shows.
        for hopeless, param in (
            (ask(user(there, TEXT), {"role": "assistant", "content": "Hm."}), "messages[1].role"),
            (ask(user(there, TEXT)) | {"temperature": 9}, "temperature"),
            (ask({"role": "system", "content": [there, TEXT]}, user(TEXT)), "messages[0].content"),
        ):
            refused = client.post("/v1/chat/completions", json=hopeless)
            assert refused.json()["error"]["param"] == param
        assert len(asked) == 1

        gone = {"type": "image_url", "image_url": f"http://127.0.0.1:{port}/no"}
        refused = client.post("/v1/chat/completions", json=ask(user(there, gone, TEXT)))
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (400, "invalid_image_url")
        assert error["param"] == "messages[0].content[1].image_url"
        assert "answered with status 404" in error["message"]

        elsewhere = {"type": "image_url", "image_url": {"url": f"http://localhost:{port}/a.png"}}
        refused = client.post("/v1/chat/completions", json=ask(user(elsewhere, TEXT)))
        assert refused.json()["error"]["param"] == "messages[0].content[0].image_url.url"
        assert "HEROSERVE_IMAGE_HOSTS does not name" in refused.json()["error"]["message"]
        # Whether it was asked or not.
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_image_url")
        assert "s3cret" not in refused.text
