"""The command as a process: closed and full outputs, Ctrl-C, a terminal or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from heroserve.v1 import chat_pb2
from tests.support.terminal import HEARING, terminal

COMMAND = f"{sys.executable} -m heroserve"
IMAGE = "examples/scene.png"


@pytest.fixture
def environment(peer):
    return {**os.environ, "PYTHONPATH": "sdk", "HEROSERVE_TARGET": peer.target}


def shell(line: str, environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arguments", ["--help", "--version", f"ask {IMAGE} What?", f"ask {IMAGE} What? --json"])
def test_an_output_that_takes_nothing(environment, arguments):
    done = shell(f"{COMMAND} {arguments} > /dev/full; echo $?; {COMMAND} {arguments} >&-; echo $?", environment)
    full, closed = done.stderr.splitlines()
    assert "cannot write to stdout: No space left on device" in full
    assert "stdout is closed" in closed
    assert done.stdout.splitlines() == ["1", "1"]


@pytest.mark.parametrize("arguments", ["--help", f"ask {IMAGE} What?", f"ask {IMAGE} What? --json"])
def test_a_reader_that_has_gone(environment, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND.split(), *arguments.split()]
    done = subprocess.run(command, env=environment, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_stderr_that_takes_nothing_changes_no_status(environment):
    done = shell(
        f"{COMMAND} ask {IMAGE} What? 2>&-; echo $?; {COMMAND} ask {IMAGE} What? 2>/dev/full; echo $?; "
        f"{COMMAND} ask nowhere.png What? 2>/dev/full; echo $?",
        environment,
    )
    assert done.stdout.splitlines() == ["A red [bold]bus", "0", "A red [bold]bus", "0", "2"]


def test_where_almost_nothing_is_set(environment):
    bare = {name: environment[name] for name in ("PYTHONPATH", "HEROSERVE_TARGET")}
    for more in ({}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "5"}):
        done = subprocess.run(
            [sys.executable, "-m", "heroserve", "ask", IMAGE, "What?"],
            env=bare | more,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, "A red [bold]bus\n"), done.stderr
        assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("command", ["describe", f"encode {IMAGE} What?"])
def test_a_narrow_terminal(environment, peer, command):
    environment |= {"COLUMNS": "8", "HEROSERVE_ENCODER_TARGET": peer.target}
    done = shell(f"{COMMAND} {command}", environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_ctrl_c_is_quiet(environment, peer):
    peer.script.extend([lambda request, context: chat_pb2.ChatDescription(trained=True), peer.hang])
    process = subprocess.Popen(
        # Who runs tests in the background of a shell has it ignored, and all that they start too.
        [*HEARING, *COMMAND.split(), "ask", IMAGE, "What?"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.read(6) == "Well, "
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "\n", "")
    assert peer.cancelled.wait(10)


def on_a_terminal(arguments: str, environment, kill_at: str = "") -> tuple[int, str]:
    """Its status, and what it writes to one; ended where it writes `kill_at`."""
    with terminal([*COMMAND.split(), *arguments.split()], environment) as screen:
        if kill_at:
            screen.see(kill_at)
            screen.process.terminate()
        return screen.end(), screen.shown


def test_libraries_write_nothing_beside_it(environment):
    # Side by side, since each takes seconds for its tries.
    with ThreadPoolExecutor() as threads:
        done, loud = threads.map(
            lambda before: shell(f"{before}{COMMAND} describe --tls", environment), ("", "GRPC_VERBOSITY=info ")
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"heroserve: {environment['HEROSERVE_TARGET']} can't answer now: ")
    assert "--tls as the service has it?" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Handshake" in loud.stderr


def slow(request, context):
    time.sleep(0.5)
    yield chat_pb2.GenerateResponse(delta="A bus")
    yield chat_pb2.GenerateResponse(finish_reason=chat_pb2.GenerateResponse.STOP)


@pytest.mark.parametrize(
    ("term", "more", "seen"),
    [("xterm", "", True), ("dumb", "", False), ("xterm", " --json", False)],
)
def test_on_a_terminal_it_says_what_it_waits_for(environment, peer, term, more, seen):
    peer.script.extend([lambda request, context: chat_pb2.ChatDescription(trained=True), slow])
    environment |= {"TERM": term}
    status, text = on_a_terminal(f"ask {IMAGE} What?{more}", environment)
    assert status == 0
    assert "A bus" in text
    assert ("looking at the picture" in text) == seen
    if seen:
        # The cursor is back, and nothing of it is left behind the answer.
        assert text.rindex("\x1b[?25h") < text.index("A bus")


def test_who_is_ended_gives_the_cursor_back(environment, peer):
    peer.script.extend([lambda request, context: chat_pb2.ChatDescription(trained=True), silent])
    status, text = on_a_terminal(f"ask {IMAGE} What?", environment | {"TERM": "xterm"}, kill_at="looking")
    assert status == 143
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "Traceback" not in text


def silent(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(30)
    yield from ()


def test_off_a_terminal_there_is_no_spinner(environment, peer):
    peer.script.extend([lambda request, context: chat_pb2.ChatDescription(trained=True), slow])
    done = shell(f"{COMMAND} ask {IMAGE} What?", environment | {"FORCE_COLOR": "1", "TERM": "xterm"})
    assert "looking" not in done.stderr
