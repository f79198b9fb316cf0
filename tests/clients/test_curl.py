"""curl, as people paste it from a page."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.stack import PICTURE, ROOT
from tests.clients.conftest import KEY, OTHER_KEY, Door

QUESTION = {"type": "text", "text": "what character is on the black star?"}


def curl(door: Door, path: str, *options: str, key: str = KEY) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers."""
    command = ["curl", "--silent", "--show-error", "--include", f"{door.host}{path}"]
    done = subprocess.run(
        [*command, "--header", f"Authorization: Bearer {key}", *options], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    # What goes before it is curl's own asking whether it may send so much.
    head, _, body = done.stdout.removeprefix("HTTP/1.1 100 Continue\n\n").partition("\n\n")
    status, *lines = head.splitlines()
    return (
        int(status.split()[1]),
        body,
        {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)},
    )


@pytest.fixture
def send(tmp_path: Path) -> Any:
    """The option that sends a request from a file, as one with a picture must be."""

    def write(*parts: Any, **options: Any) -> list[str]:
        body = {"messages": [{"role": "user", "content": [*parts, QUESTION]}], **options}
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(body))
        return ["--header", "Content-Type: application/json", "--data", f"@{path}"]

    return write


def test_a_question_about_a_picture(door: Door, send: Any):
    data = base64.b64encode((ROOT / PICTURE).read_bytes()).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    status, body, headers = curl(door, "/v1/chat/completions", *send(image))
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "T")
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"]
    _, body, headers = curl(door, "/v1/chat/completions", "--no-buffer", *send(image, stream=True))
    assert headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in body.splitlines() if line]
    assert events[-1] == "[DONE]"
    told = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
    assert "".join(told) == "T"


def test_a_file(door: Door, send: Any):
    form = ["--form", "purpose=vision", "--form", f"file=@{ROOT / PICTURE}"]
    status, body, _ = curl(door, "/v1/files", *form)
    file = json.loads(body)
    assert (status, file["filename"], file["bytes"]) == (200, "scene.png", (ROOT / PICTURE).stat().st_size)
    _, body, _ = curl(door, "/v1/chat/completions", *send({"type": "file", "file": {"file_id": file["id"]}}))
    assert json.loads(body)["choices"][0]["message"]["content"] == "T"
    assert curl(door, f"/v1/files/{file['id']}")[0] == 200
    assert curl(door, f"/v1/files/{file['id']}", "--request", "DELETE")[0] == 405
    # Who has another key finds nothing of it.
    assert curl(door, f"/v1/files/{file['id']}", key=OTHER_KEY)[0] == 404
    part = {"type": "file", "file": {"file_id": file["id"]}}
    assert curl(door, "/v1/chat/completions", *send(part), key=OTHER_KEY)[0] == 404


def test_the_rest(door: Door, send: Any):
    assert json.loads(curl(door, "/v1/models")[1])["data"][0]["id"] == door.model
    assert curl(door, "/health")[0] == 200
    for path, options, key, status, code in (
        ("/v1/models", [], "wrong", 401, "invalid_api_key"),
        ("/v1/completions", ["--json", "{}"], KEY, 404, "unknown_url"),
        ("/v1/chat/completions", ["--json", "{"], KEY, 400, None),
        ("/v1/chat/completions", send(n=2), KEY, 400, "unsupported_parameter"),
        ("/v1/chat/completions", [*send(), "--header", "heroserve-timeout: x"], KEY, 400, None),
    ):
        told = curl(door, path, *options, key=key)
        assert (told[0], json.loads(told[1])["error"]["code"]) == (status, code), told
