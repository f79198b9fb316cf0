"""What is served over HTTP, before Serve's proxy."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from services.common.ingress.front import Front
from services.common.ingress.readiness import Readiness


class Told(Readiness):
    """Ready, but for what it is told."""

    lacking: dict[str, str]

    def problem(self, service: str = "", without: Any = ()) -> str | None:
        return next((why for name, why in self.lacking.items() if name not in without), None)


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """Stands for Serve's proxy, which lists routes and calls replicas by what comes this far."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"serve: " + scope["path"].encode()})


@pytest.fixture
def readiness() -> Told:
    told = Told()
    told.lacking = {}
    return told


@pytest.fixture
def client(readiness: Told) -> TestClient:
    return TestClient(Front(serve, readiness))


def test_ready(client: TestClient, readiness: Told) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready\n")
    assert answer.headers["cache-control"] == "no-store"
    readiness.lacking = {"encoder": "heroserve.v1.VisionChat: encoder: away"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "heroserve.v1.VisionChat: encoder: away\n")
    assert client.head("/readyz").status_code == 503
    # As other servers of OpenAI's API call it.
    assert client.get("/health").status_code == 503
    assert client.get("/readyz?exclude=encoder").status_code == 200
    assert client.get("/readyz?exclude=redis&exclude=%ff").status_code == 503


def test_what_can_not_be_excluded_is_told(client: TestClient, readiness: Told) -> None:
    readiness.lacking = {"encoder": "away"}
    told = "exclude: 'nosuch' is nothing that can be left out; encoder and engine are\n"
    answer = client.get("/readyz?exclude=nosuch")
    assert (answer.status_code, answer.text) == (503, f"away\n{told}")
    answer = client.get("/readyz?exclude=encoder&exclude=nosuch")
    assert (answer.status_code, answer.text) == (200, f"ready\n{told}")
    assert client.get("/readyz?exclude=encoder&exclude=engine").text == "ready\n"


def test_rays_own_health_goes_on_to_it(client: TestClient) -> None:
    assert client.get("/-/healthz").text == "serve: /-/healthz"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/-/routes",
        "/-/",
        "/llm",
        "/llm/x",
        "/encoder",
        "/v1/models",
        "/readyz/",
        "/-/healthz/x",
        "//readyz",
        "/%00",
        "/é",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
def test_nothing_else_does(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, path, content=b"x" * 1000 if method == "POST" else None)
    assert answer.status_code == 404
    assert "serve:" not in answer.text
    error = answer.json()["error"]
    assert (error["code"], error["message"].count("\n")) == ("unknown_url", 0)
    assert answer.headers["x-request-id"]
    # Where no LLM service is, there is nothing to be named of OpenAI's.
    assert "GET /readyz" in error["message"]
    assert "OpenAI" not in error["message"]


@pytest.mark.parametrize("path", ["/readyz", "/-/healthz"])
def test_other_methods_are_told_which(client: TestClient, path: str) -> None:
    for method in ("POST", "DELETE", "BREW"):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.json()["error"]["message"] == f"{method} {path} is not served here; GET is"


def test_a_websocket_is_refused(client: TestClient) -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/llm"):
        pass
