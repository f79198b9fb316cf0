"""Before Serve's proxy: who is let in over HTTP, what of a request goes on, and what Serve says in our words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from services.common.api_keys import ApiKeys
from services.common.http_call import HttpCall
from services.common.ingress import http_body
from services.common.ingress.callers import Callers, Here
from services.common.ingress.front import Front
from services.common.ingress.http_door import HttpDoor
from services.common.ingress.readiness import Readiness
from services.common.quotas import Quotas

JSON = (b"content-type", b"application/json")


class Serve:
    """Stands for Serve's proxy: remembers what came this far, and says what it is told to."""

    def __init__(self) -> None:
        self.status = 200
        self.said = b"{}"
        self.kind = JSON
        self.ends = True
        self.paths: list[str] = []
        self.calls: list[HttpCall] = []
        self.read = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.calls.append(HttpCall("m", headers, 0))
        while (message := await receive())["type"] == "http.request":
            self.read += len(message["body"])
            if not message.get("more_body"):
                break
        if self.status:
            start = {"type": "http.response.start", "status": self.status, "headers": [self.kind]}
            await send(start)
            await send({"type": "http.response.body", "body": self.said, "more_body": not self.ends})


@pytest.fixture
def serve() -> Serve:
    return Serve()


@pytest.fixture
def client(serve: Serve) -> Callable[..., TestClient]:
    def make(*keys: str, quotas: Quotas | None = None) -> TestClient:
        here = Here()
        here.callers = Callers(ApiKeys(keys), quotas or Quotas())
        door = HttpDoor(serve, here, "/v1/", "/llm")
        readiness = Readiness()
        readiness.services["heroserve.v1.VisionChat"] = None  # type: ignore[assignment]
        return TestClient(Front(door, readiness))

    return make


def error(answer: Any) -> Any:
    return answer.json()["error"]


def test_what_goes_on(client: Callable[..., TestClient], serve: Serve) -> None:
    sent = {
        "x-request-id": "mine",
        "heroserve-timeout": "60",
        "heroserve-refused": "OK=7",
        "heroserve-deadline": "1",
        "x-request-disconnect-disabled": "?1",
        "serve_multiplexed_model_id": "x",
    }
    answer = client().post("/v1/x?y=1", content=b"body", headers=sent)
    assert (answer.status_code, answer.headers.get_list("x-request-id")) == (200, ["mine"])
    (call,) = serve.calls
    assert (serve.paths, serve.read) == (["/llm/v1/x"], 4)
    assert call.request_id == "mine"
    assert 30 < call.remaining_s <= 60
    assert call.refused_before == {}
    assert not call.header("x-request-disconnect-disabled")
    assert not call.header("serve_multiplexed_model_id")


def test_keys_come_before_bodies(client: Callable[..., TestClient], serve: Serve) -> None:
    guarded = client("k1")
    for wrong in ({}, {"authorization": "Bearer k2"}):
        answer = guarded.post("/v1/x", content=b"body", headers=wrong)
        assert (answer.status_code, error(answer)["code"]) == (401, "invalid_api_key")
    assert not serve.calls
    assert guarded.post("/v1/x", headers={"authorization": "Bearer k1"}).status_code == 200
    # Told to the next replica that is asked, which counts them.
    assert serve.calls[0].refused_before == {"UNAUTHENTICATED": 2}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/heroserve/plan", "/v1/files", "/v1/x"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site"])
def test_without_keys_no_page_of_others_asks(
    client: Callable[..., TestClient], serve: Serve, path: str, site: str
) -> None:
    said = {"sec-fetch-site": site, "content-type": "text/plain"}
    for method in ("POST", "DELETE", "OPTIONS"):
        answer = client().request(method, path, headers=said)
        assert (answer.status_code, error(answer)["code"]) == (403, "cross_site")
        assert error(answer)["message"].startswith(f"sec-fetch-site: {site.lower()!r}"[:16])
        assert "HEROSERVE_API_KEYS" in error(answer)["message"]
    assert not serve.calls
    # Links lead here, and a key is what no such page has.
    assert client().get("/v1/models", headers=said).status_code == 200
    keyed = {**said, "authorization": "Bearer k1"}
    assert client("k1").post(path, headers=keyed).status_code == 200
    assert client("k1").post(path, headers=said).status_code == 401


@pytest.mark.parametrize("said", [{}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}])
def test_our_own_page_and_programs_ask_without_keys(client: Callable[..., TestClient], said: dict[str, str]) -> None:
    assert client().post("/v1/x", headers=said).status_code == 200


def test_quotas_of_a_key(client: Callable[..., TestClient], serve: Serve) -> None:
    guarded = client("k1", quotas=Quotas(rate=1, clock=lambda: 0.0))
    guarded.headers["authorization"] = "Bearer k1"
    assert guarded.post("/v1/x").status_code == 200
    answer = guarded.post("/v1/x")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert len(serve.calls) == 1


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_too_large(
    client: Callable[..., TestClient], serve: Serve, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(http_body, "MAX_BODY_BYTES", 100)
    assert client().post("/v1/x", content=b"x" * 100).status_code == 200

    def pieces() -> Iterator[bytes]:
        for _ in range(101):
            yield b"x"

    answer = client().post("/v1/x", content=pieces() if chunked else b"x" * 101)
    assert (answer.status_code, error(answer)["code"]) == (413, "request_too_large")
    assert "the limit is 100" in error(answer)["message"]
    assert len(serve.calls) == 1


@pytest.mark.parametrize(
    ("waits", "status", "code"),
    [((), 408, b"request_timeout"), ((b"heroserve-timeout", b"0.05"), 504, b"deadline_exceeded")],
)
def test_a_body_that_does_not_come_holds_no_replica(
    client: Callable[..., TestClient],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    waits: tuple[bytes, ...],
    status: int,
    code: bytes,
) -> None:
    """Whose patience is over is told as everywhere else; ours has a status of its own."""
    monkeypatch.setattr(http_body, "BODY_S", 0.1)
    never = {"type": "http.request", "body": b"x", "more_body": True}
    sent: list[Any] = []

    async def receive() -> Any:
        if not sent:
            sent.append(never)
            return never
        return await asyncio.Event().wait()

    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": [waits] if waits else []}
    asyncio.run(client().app(scope, receive, send))  # type: ignore[arg-type]
    assert told[0]["status"] == status
    assert code in told[1]["body"]
    assert b"only 1 bytes of it" in told[1]["body"]
    assert (b"heroserve-timeout" in told[1]["body"]) == bool(waits)
    assert not serve.calls


@pytest.mark.parametrize(
    ("header", "value", "told"),
    [
        ("content-encoding", "gzip", "'gzip'"),
        ("Content-Encoding", "Identity, BR", "'BR'"),
        ("content-encoding", "deflate,zstd", "'deflate, zstd'"),
        ("transfer-encoding", "gzip, chunked", "'gzip'"),
    ],
)
def test_a_packed_body_is_told_as_one(
    client: Callable[..., TestClient], serve: Serve, header: str, value: str, told: str
) -> None:
    answer = client().post("/v1/x", content=b"\x1f\x8b\x08", headers={header: value})
    assert (answer.status_code, error(answer)["code"]) == (415, "unsupported_encoding")
    assert error(answer)["param"] == header.lower()
    assert f"is {told}, and no body is unpacked here" in error(answer)["message"]
    assert answer.headers["accept-encoding"] == "identity"
    assert not serve.calls
    for plain in ({"content-encoding": " identity "}, {"content-encoding": ""}, {"transfer-encoding": "chunked"}):
        assert client().post("/v1/x", content=b"{}", headers=plain).status_code == 200


@pytest.mark.parametrize("said", ["soon", "-1", "0", "nan", "inf"])
def test_a_timeout_that_is_none(client: Callable[..., TestClient], serve: Serve, said: str) -> None:
    answer = client().post("/v1/x", headers={"heroserve-timeout": said})
    assert (answer.status_code, error(answer)["param"]) == (400, "heroserve-timeout")
    assert not serve.calls


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (503, b"Request dropped due to backpressure (num_queued_requests=3)", 429),
        (503, b"deployment unavailable: /home/x", 503),
        (404, b"Path '/llm/v1' not found. Ping http://.../-/routes for available routes.", 503),
        (408, b"Request timed out", 504),
        (500, b"Internal Server Error\nTraceback", 500),
        (0, b"", 503),
    ],
)
def test_what_serve_says_is_told_in_our_words(
    client: Callable[..., TestClient], serve: Serve, status: int, said: bytes, told: int
) -> None:
    serve.status, serve.said, serve.kind = status, said, (b"content-type", b"text/plain; charset=utf-8")
    answer = client().post("/v1/x", headers={"x-request-id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (told, "mine")
    assert "\n" not in error(answer)["message"]
    assert not said or said.decode() not in answer.text


def test_a_stream_whose_replica_dies_ends_with_an_error(client: Callable[..., TestClient], serve: Serve) -> None:
    serve.kind, serve.said, serve.ends = (b"content-type", b"text/event-stream"), b"data: {}\n\n", False
    first, second = client().post("/v1/x").text.strip().split("\n\n")
    assert first == "data: {}"
    assert "a replica died" in json.loads(second.removeprefix("data: "))["error"]["message"]


def test_other_paths_are_not_its_own(client: Callable[..., TestClient], serve: Serve) -> None:
    assert client("k1").get("/-/healthz").status_code == 200
    for path in ("/v1", "//v1/models", "/V1/models", "/llm/v1/x", "/v2/x", "/%0a", "/"):
        # As clients of OpenAI's API read it, whoever they are.
        answer = client("k1").post(f"http://testserver{path}", headers={"x-request-id": "mine"})
        assert (answer.status_code, error(answer)["code"]) == (404, "unknown_url")
        assert answer.headers["x-request-id"] == "mine"
        assert "is not served here; OpenAI's API is, below /v1/" in error(answer)["message"]
        assert error(answer)["message"].isprintable()
    assert serve.paths == ["/-/healthz"]
