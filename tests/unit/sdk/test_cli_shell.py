"""The command among a shell's others: its help, what Tab goes on to, colours."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heroserve.cli import app
from heroserve.cli.helps import EXAMPLES
from tests.support.terminal import terminal

ROOT = Path(__file__).resolve().parents[3]
# Colours, and bold or dim letters.
STYLED = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


def helped(command: str) -> str:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, [command, "-h"]).stdout


def test_every_command_has_examples_that_its_help_shows():
    assert list(EXAMPLES)
    assert set(EXAMPLES) == set(COMMANDS)
    for command in COMMANDS:
        for example in EXAMPLES[command]:
            assert example in helped(command)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_a_narrow_terminal_has_whole_words(command):
    def shown(columns: str) -> str:
        return CliRunner(env={"COLUMNS": columns}).invoke(app, [*command.split(), "-h"]).stdout

    # Types of Python's.
    assert not re.search(r"<[\w\[\]]+>", shown("300"))
    for columns in ("20", "50"):
        assert "…" not in shown(columns)
        assert not set("│╭") & set(shown(columns))
        assert "Show this message and exit." in " ".join(shown(columns).split())
    assert "╭" in shown("80")


@pytest.mark.parametrize("example", [example for examples in EXAMPLES.values() for example in examples])
def test_an_example_could_be_typed(example):
    """Its options are there: help is shown only where words were understood."""
    words = shlex.split(re.sub(r'eval "\$\((.*)\)"|\| source|[<] .*|^curl.*\| |^[A-Z_]+=\S+ ', r"\1", example))
    assert words[0] == "heroserve"
    done = CliRunner().invoke(app, [*words[1:], "--help"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Usage" in done.stdout


def test_options_of_one_name_are_one_everywhere():
    """What they take and what is said of them; and they come in one order."""
    told: dict[str, set[str]] = {}
    orders = []
    for command in COMMANDS:
        lines = re.findall(r"^│ +(?:\* +)?(--[a-z-]+)(.*?)│$", helped(command), re.MULTILINE)
        orders.append([option for option, _ in lines])
        for option, rest in lines:
            told.setdefault(option, set()).add(" ".join(rest.split()))
    assert "--retention" in told
    # How long each waits by itself is its own, how much at once, what is asked of many images, and what is written.
    several = {option: texts for option, texts in told.items() if len(texts) > 1}
    assert set(several) <= {"--timeout", "--concurrency", "--question", "--output"}, several
    first = orders[COMMANDS.index("chat")]
    for order in orders:
        common = [option for option in order if option in first]
        assert common == [option for option in first if option in common]


def completed(line: str) -> str:
    asked = {"_TYPER_COMPLETE_ARGS": line, "_HEROSERVE_COMPLETE": "complete_zsh"}
    return CliRunner(env=asked).invoke(app, [], prog_name="heroserve").stdout


def test_what_tab_goes_on_to(tmp_path):
    (tmp_path / "scene.png").touch()
    (tmp_path / "scene.txt").touch()
    assert {name for name in COMMANDS if f'"{name}"' in completed("heroserve ")} == set(COMMANDS)
    assert "--stop" in completed("heroserve ask --st")
    assert "--no-stream" in completed("heroserve chat --no")
    for line in ("ask", "ask a.png", "chat", "chat a.png b.png", "bench --image", "bench --image a.png --image"):
        found = completed(f"heroserve {line} {tmp_path}/sc")
        assert f"{tmp_path}/scene.png" in found, line
        assert "scene.txt" not in found


def test_tab_in_a_real_bash(tmp_path):
    """As `eval "$(heroserve completion bash)"` sets it up."""
    program = tmp_path / "heroserve"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c \'from heroserve.cli import app; app(prog_name="heroserve")\' "$@"\n'
    )
    program.chmod(0o755)
    script = """
        eval "$(heroserve completion bash)"
        complete -p heroserve
        COMP_WORDS=(heroserve ask --ret); COMP_CWORD=2
        $(complete -p heroserve | sed 's/.*-F \\([^ ]*\\) .*/\\1/') heroserve
        echo "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "sdk")}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "--retention"


# One process, since each takes a second to start: an answer, a refusal, a help.
SEVERAL = """
from heroserve.cli import app
for arguments in (["ask", "examples/scene.png", "What?"], ["describe", "--timeout", "0"], ["ask", "--help"]):
    try:
        app(arguments, prog_name="heroserve")
    except SystemExit:
        print("----", flush=True)
"""


def test_colours_are_for_terminals_and_for_who_wants_them(peer):
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"PYTHONPATH": "sdk", "HEROSERVE_TARGET": peer.target, "TERM": "xterm"}
    command = [sys.executable, "-c", SEVERAL]
    styled = []
    for more in ({}, {"NO_COLOR": "1"}):
        with terminal(command, environment | more) as screen:
            screen.end()
        parts = screen.shown.split("----")[:-1]
        assert all(len(part) > 50 for part in parts)
        styled.append([bool(STYLED.search(part)) for part in parts])
    assert styled == [[True] * 3, [False] * 3]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert "Usage" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
