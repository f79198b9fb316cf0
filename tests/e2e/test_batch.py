"""Many questions, asked of the real services: OpenAI's batch format gets what OpenAI's door answers, killed or not."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from heroserve.cli import app
from scripts.stack import ROOT, Stack

SCENE = ROOT / "examples" / "scene.png"


def lines(count: int) -> list[dict[str, Any]]:
    """Of OpenAI's format, with the picture in each."""
    url = "data:image/png;base64," + base64.b64encode(SCENE.read_bytes()).decode()
    found = []
    for at, text in enumerate(["what character is on the black star?", "is there a red square?", "how many stars?"]):
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
        body = {"model": "heroserve-tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 6}
        found.append({"custom_id": f"{at}", "method": "POST", "url": "/v1/chat/completions", "body": body})
    found[1]["body"]["heroserve"] = {"retention": 0.5}
    return [{**found[at % 3], "custom_id": str(at)} for at in range(count)]


def write(path: Path, questions: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(each) + "\n" for each in questions))


def read(path: Path) -> dict[str, dict[str, Any]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({record["custom_id"] for record in records}) == len(records)
    return {record["custom_id"]: record for record in records}


def told(body: dict[str, Any]) -> dict[str, Any]:
    """Without what is of one answer alone, or of HTTP."""
    for name in ("timings", "image_cache"):
        body["usage"]["heroserve"].pop(name, None)
    body["usage"]["prompt_tokens_details"].pop("cached_tokens")
    return {name: body[name] for name in ("object", "model", "choices", "usage")}


def test_openais_format_has_what_openais_door_answers(bundled: Stack, tmp_path: Path):
    questions = lines(3)
    write(tmp_path / "q.jsonl", questions)
    environment = {"HEROSERVE_TARGET": f"localhost:{bundled.ports.llm}"}
    arguments = ["batch", str(tmp_path / "q.jsonl"), "-o", str(tmp_path / "a.jsonl")]
    done = CliRunner(env=environment).invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    for name, record in read(tmp_path / "a.jsonl").items():
        request = urllib.request.Request(
            f"http://localhost:{bundled.ports.llm_http}/v1/chat/completions",
            json.dumps(questions[int(name)]["body"]).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = json.load(answer)
        assert told(record["response"]["body"]) == told(body)


def test_killed_it_goes_on(bundled: Stack, tmp_path: Path):
    write(tmp_path / "q.jsonl", lines(60))
    command = [sys.executable, "-m", "heroserve", "batch", "q.jsonl", "-o", "a.jsonl", "--concurrency", "2"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "sdk"),
        "HEROSERVE_TARGET": f"localhost:{bundled.ports.llm}",
    }
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    answers = tmp_path / "a.jsonl"
    until = time.monotonic() + 60
    while not (answers.exists() and answers.read_bytes().count(b"\n") >= 5):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = answers.read_bytes()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert answers.read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert read(answers).keys() == {str(at) for at in range(60)}
