"""The command's longer uses on the bundled model's stack: a conversation, and a load by both doors."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from heroserve.cli import app
from scripts.stack import PICTURE, ROOT, Stack


@pytest.fixture
def run(bundled: Stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    env = {"HEROSERVE_TARGET": f"localhost:{bundled.ports.llm}", "HEROSERVE_API_KEY": None}
    return lambda *args, stdin="": CliRunner(env=env).invoke(app, args, input=stdin)


def test_a_conversation(run):
    """A second picture is one too many here, and another in its place is not."""
    lines = ["what character is on the black star?", "/explain", "/reset", "is there a black star?"]
    done = run("chat", PICTURE, "--retention", "0.2", stdin="\n".join(lines))
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["T", "yes"]), done.stderr
    assert "row 1 col 1" in done.stderr
    done = run("chat", PICTURE, stdin=f"{lines[0]}\n/image {PICTURE}\n")
    assert (done.exit_code, done.stdout) == (2, "T\n")
    assert done.stderr.splitlines()[-1].startswith("heroserve: IMAGE: there would be 2; the limit is 1; ")


def test_several_images_are_more_than_it_takes(run):
    done = run("ask", PICTURE, PICTURE, "which?")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("heroserve: IMAGE: there are 2; the limit is 1; the LLM service's HERO")


@pytest.mark.parametrize("door", ["grpc", "http"])
def test_a_load(run, bundled: Stack, door: str):
    url = f"localhost:{bundled.ports.llm}" if door == "grpc" else f"http://localhost:{bundled.ports.llm_http}/v1"
    question = ["--image", PICTURE, "--question", "what character is on the black star?"]
    done = run("bench", url, *question, "--requests", "6", "--concurrency", "2", "--retention", "0.2", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["door"], told["requests"]) == (door, {"sent": 6, "answered": 6, "failed": 0})
    assert told["time_to_first_token_s"]["max"] <= told["answer_s"]["max"]
    visual = told["visual_tokens"]
    assert (visual["total"], visual["kept"] + visual["dropped"]) == (6 * 448, 6 * 448)
    assert visual["kept"] <= 0.2 * visual["total"]
    assert told["saved"]["prefill_flops"] > 0
    assert told["tokens"] >= 6
