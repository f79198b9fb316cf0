"""The Playground's files as a proxy serves them: to browsers, without a key, and nothing else gets in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from heroserve.methods import ENCODE, GENERATE
from services.common import proxy
from services.common.ingress import pages
from services.common.ingress.front import Front
from services.common.ingress.readiness import Readiness

PLAYGROUND = Path(proxy.__file__).parents[1] / "llm" / "doors" / "playground"


async def serve(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nothing of this goes on to Serve")


def client(service: str = GENERATE.service, environment: dict[str, str] | None = None) -> TestClient:
    readiness = Readiness()
    # Not even a replica that answers is needed.
    readiness.services[service] = None  # type: ignore[assignment]
    return TestClient(Front(serve, readiness, pages=pages.from_env(PLAYGROUND, "/playground/", environment or {})))


def test_the_page_and_all_that_it_names_are_served() -> None:
    web = client()
    page = web.get("/?whatever=1")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    todo = re.findall(r'(?:src|href)="(playground/[^"]+)"', page.text)
    assert len(todo) >= 4
    seen = set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        found = web.get(f"/{path}")
        assert found.status_code == 200, path
        assert "no-cache" in found.headers["cache-control"]
        if path.endswith(".js"):
            assert found.headers["content-type"].startswith("text/javascript")
            todo += [f"playground/{name}" for name in re.findall(r'from "\./([^"]+)"', found.text)]
            todo += re.findall(r'path: "(playground/[^"]+)"', found.text)
    # Nothing lies there that nobody asks for, and all of it is a tenth of a megabyte or so.
    assert {f"/{path}" for path in seen} == set(pages.read(PLAYGROUND, "/playground/")) - {"/"}
    assert sum(len(each.body) for each in pages.read(PLAYGROUND, "/playground/").values()) < 400_000


def test_nothing_of_another_host_and_nothing_inline() -> None:
    policy = dict(
        each.strip().partition(" ")[::2] for each in client().get("/").headers["content-security-policy"].split(";")
    )
    assert policy.pop("require-trusted-types-for") == "'script'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    for path in PLAYGROUND.rglob("*"):
        if path.suffix not in (".html", ".js", ".css", ".svg"):
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"\son\w+=|\sstyle=|<style|<script(?![^>]* src=)|innerHTML|insertAdjacentHTML|eval\(", text
        ), path
        assert set(re.findall(r"https?://[^\s\"'`<>)]+", text)) <= {"http://www.w3.org/2000/svg"}, path


def test_who_has_it_still_is_sent_nothing() -> None:
    web = client()
    first = web.get("/playground/main.js")
    again = web.get("/playground/main.js", headers={"if-none-match": f'W/{first.headers["etag"]}, "x"'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    head = web.head("/")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(web.get("/").content)))


@pytest.mark.parametrize(
    "path", ["/playground", "/playground/", "/playground/../style.css", "/playground/none.js", "/index.html"]
)
def test_what_is_none_of_it_is_the_one_refusal(path: str) -> None:
    answer = client().get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert "GET /, the Playground" in answer.json()["error"]["message"]


def test_other_methods_are_told_which() -> None:
    answer = client().post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(("service", "environment"), [(GENERATE.service, "off"), (ENCODE.service, "on")])
def test_off_and_before_an_encoder_there_is_none(service: str, environment: str) -> None:
    web = client(service, {pages.VARIABLE: environment})
    for path in ("/", "/playground/main.js"):
        answer = web.get(path)
        assert answer.status_code == 404
        assert "Playground" not in answer.json()["error"]["message"]


def test_serves_proxies_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(pages.VARIABLE, raising=False)
    assert "/" in proxy._playground()
    monkeypatch.setenv(pages.VARIABLE, "off")
    assert proxy._playground() == {}
