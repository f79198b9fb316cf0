"""Programs of examples/ do what they say, and what goes wrong in them is a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.stack import PICTURE, ROOT, Stack

STAR, CROSS = "what character is on the black star?", "what character is on the black cross?"
PROGRAMS = ("ask", "many_questions", "openai_client", "batch")


def run(stack: Stack, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEROSERVE_", "OPENAI_"))}
    told = {
        "HEROSERVE_TARGET": f"localhost:{stack.ports.llm}",
        "OPENAI_BASE_URL": f"http://localhost:{stack.ports.llm_http}/v1",
    }
    return subprocess.run(
        [sys.executable, f"examples/{program}.py", *arguments],
        cwd=ROOT,
        env={**kept, **told, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def out(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_all_are_looked_at():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(PROGRAMS)


def test_ask(bundled: Stack):
    done = run(bundled, "ask", PICTURE, STAR)
    assert out(done) == ["T"]
    dropped, second = done.stderr.splitlines()
    assert dropped == "360 of 448 visual tokens dropped"
    assert second.startswith("second turn: ")


def test_many_questions(bundled: Stack):
    lines = out(run(bundled, "many_questions", PICTURE, *[STAR, CROSS] * 12))
    assert [tuple(line.split("\t")[:2]) for line in lines] == [(STAR, "T"), (CROSS, "7")] * 12


def test_openai_client(bundled: Stack):
    lines = out(run(bundled, "openai_client", PICTURE, STAR))
    assert lines == ["T\t448 of 448 visual tokens", "T\t88 of 448 visual tokens"]


def test_batch_goes_on_where_it_stopped(bundled: Stack, tmp_path: Path):
    file, other = tmp_path / "answers.jsonl", "examples/world.png"
    asked = (bundled, "batch", PICTURE, "README.md")
    first = run(*asked, STAR, "--out", str(file))
    begun, refused = first.stderr.splitlines()
    assert (first.returncode, first.stdout, begun) == (1, "", "0 answered before, 2 to go")
    assert refused.startswith("README.md: ")
    assert "is not an image" in refused
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["answer"] for line in lines if line["image"] == PICTURE] == ["T"]
    assert ["is not an image" in line["error"] for line in lines if line["image"] == "README.md"] == [True]
    # As a kill leaves it, in the middle of a line.
    with file.open("a") as answers:
        answers.write('{"image": "examples/wor')
    second = run(*asked, other, STAR, "--out", str(file))
    assert (second.returncode, second.stderr.splitlines()[0]) == (1, "1 answered before, 2 to go")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["image"] for line in lines if "answer" in line) == sorted([PICTURE, other])
    # Another question is another one.
    assert "0 answered before, 1 to go" in run(bundled, "batch", PICTURE, CROSS, "--out", str(file)).stderr


def test_a_file_of_something_else_stays_as_it_is(tmp_path: Path, bundled: Stack):
    for number, text in enumerate(("no JSON\nat all", '{"a": 1}\n[2]\n', "7\n", '{"answer": 1}\n')):
        file = tmp_path / str(number)
        file.write_text(text)
        done = run(bundled, "batch", PICTURE, STAR, "--out", str(file))
        assert (done.returncode, done.stderr.count("\n"), file.read_text()) == (1, 1, text)
    done = run(bundled, "batch", PICTURE, STAR, "--out", str(tmp_path / "nowhere" / "answers.jsonl"))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_goes_wrong_is_a_line(bundled: Stack, program: str, tmp_path: Path):
    more = ("--out", str(tmp_path / "answers.jsonl")) if program == "batch" else ()
    # The encoder serves none of this, which nobody retries.
    elsewhere = {
        "HEROSERVE_TARGET": f"localhost:{bundled.ports.encoder}",
        "OPENAI_BASE_URL": f"http://localhost:{bundled.ports.encoder_http}/v1",
    }
    for done in (
        run(bundled, program, PICTURE, STAR, *more, **elsewhere),
        *([] if program == "batch" else [run(bundled, program, "nothere.png", STAR)]),
    ):
        assert done.returncode == 1
        assert done.stdout == ""
        *before, said = done.stderr.splitlines()
        assert said
        assert not before or program == "batch"
        assert "Traceback" not in done.stderr
