"""What our documents tell people to type works, and prints what they show: every block of shell, Python and JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import heroserve
from scripts.stack import PICTURE, ROOT, Ports, Stack
from tests.support.docs import Block, Command, blocks, commands, documents
from tests.support.excuses import EXCUSES, Excuse

BLOCKS = [block for document in documents() for block in blocks(document)]
COMMANDS = [command for block in BLOCKS for command in commands(block)]
PROGRAMS = [block for block in BLOCKS if block.language == "python"]
# What has no words for a machine; a `text` block is what the program above it prints.
PROSE = ("mermaid", "text", "diff")
PAGE = "examples/page.png"
BIN = Path(sys.executable).parent


def excuse(command: Command) -> Excuse | None:
    return next((each for each in EXCUSES if each.covers(command)), None)


RUN = [command for command in COMMANDS if excuse(command) is None]
EXCUSED = [command for command in COMMANDS if excuse(command) is not None]


def names(items: list[Command]) -> list[str]:
    return [f"{item.place} {item.text[:50]}" for item in items]


def environment(stack: Stack) -> dict[str, str]:
    """As somebody has it who has `make up` in another shell, whatever ports were free."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HEROSERVE_")},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HEROSERVE_TARGET": f"localhost:{stack.ports.llm}",
        "HEROSERVE_ENCODER_TARGET": f"localhost:{stack.ports.encoder}",
        "OPENAI_BASE_URL": f"http://localhost:{stack.ports.llm_http}/v1",
    }


def here(text: str, stack: Stack) -> str:
    """The usual addresses, as README has them, are this stack's."""
    ports, usual = asdict(stack.ports), asdict(Ports())
    return re.sub(r"localhost:(\d+)", lambda found: f"localhost:{_port(int(found[1]), ports, usual)}", text)


def _port(number: int, ports: dict[str, int], usual: dict[str, int]) -> int:
    return next((ports[name] for name, port in usual.items() if port == number), number)


def printed(command: list[str], stack: Stack) -> list[str]:
    done = subprocess.run(command, cwd=ROOT, env=environment(stack), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_there_is_something_to_run():
    """Who changes how blocks are written changes this too."""
    assert {"README.md", "CONTRIBUTING.md", "deploy/kubernetes/README.md"} <= {block.document for block in BLOCKS}
    assert len(RUN) >= 3
    assert PROGRAMS


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_every_block_is_of_a_kind_that_is_looked_at(block: Block):
    if block.language == "json":
        json.loads(block.text)
    else:
        assert commands(block) or block.language in ("python", *PROSE), f"```{block.language}"


@pytest.mark.parametrize("command", EXCUSED, ids=names(EXCUSED))
def test_what_is_not_run_could_be(command: Command):
    found = excuse(command)
    assert found is not None
    assert found.reason
    found.check(command)


@pytest.mark.parametrize("command", RUN, ids=names(RUN))
def test_a_command(bundled: Stack, command: Command):
    script = here("\n".join([*command.before, command.text.replace(".venv/bin/", f"{BIN}/")]), bundled)
    lines = printed(["bash", "-c", script], bundled)
    if command.shown:
        # Blank lines are nobody's.
        assert [line for line in lines if line.strip()] == list(command.shown)


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_a_program(bundled: Stack, block: Block):
    lines = printed([sys.executable, "-c", here(block.text, bundled)], bundled)
    after = BLOCKS[BLOCKS.index(block) + 1 :]
    if after and after[0].document == block.document and after[0].language == "text":
        assert lines == after[0].text.splitlines()
    # A model that says nothing looks like one that is broken.
    assert all(lines)


def test_what_the_bundled_model_says_it_can_be_asked_it_can(bundled: Stack):
    with heroserve.Client(f"localhost:{bundled.ports.llm}", timeout_s=60) as client:
        for question in client.describe().examples:
            picture = PAGE if "code" in question else PICTURE
            assert client.ask(str(ROOT / picture), question).text, question
    lost = [sys.executable, "-m", "heroserve", "ask", PICTURE, "describe the image"]
    done = subprocess.run(lost, cwd=ROOT, env=environment(bundled), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")
    assert 'it can be asked: "what character is on the black star?"' in done.stderr
