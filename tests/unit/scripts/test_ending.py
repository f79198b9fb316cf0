"""What ends a command, once in peace and twice at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

PROGRAM = """
import os, signal, sys, time
if "nohup" not in sys.argv:
    # Whoever started the tests.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
from scripts.stack.ending import Ending
from scripts.stack.screen import Screen
ending, screen = Ending(), Screen()
ending.install()
try:
    print(os.getpid(), flush=True)
    time.sleep(60)
finally:
    ending.begin()
    screen.say("stopping")
    for _ in range(200):
        if ending.hurried:
            screen.say("at once")
            break
        time.sleep({pause})
    screen.say(f"by {ending.number}")
"""


@contextmanager
def running(pause: float, *before: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    environment = {name: value for name, value in os.environ.items() if name != "MAKELEVEL"}
    command = [*before, sys.executable, "-c", PROGRAM.replace("{pause}", str(pause)), *before]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_is_an_end_in_peace(number: signal.Signals):
    with running(0) as (process, pid):
        os.kill(pid, number)
        assert process.communicate(timeout=30) == (f"stopping\nby {int(number)}\n", "")
        assert process.returncode == 128 + number


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_one_only_hurries(second: signal.Signals):
    with running(0.1) as (process, pid):
        os.kill(pid, signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        for _ in range(3):
            os.kill(pid, second)
        assert process.communicate(timeout=30) == ("at once\nby 2\n", "")
        assert process.returncode == 130


def test_nohup_keeps_it_through_the_end_of_a_terminal():
    with running(0, "nohup") as (process, pid):
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == "stopping\nby 15\n"


def test_who_reads_may_go_before_it_has_ended():
    with running(0) as (process, pid):
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        os.kill(pid, signal.SIGTERM)
        assert process.communicate(timeout=30)[1] == ""
        assert process.returncode == 143


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel tells")
def test_the_end_of_the_make_that_started_it_is_one_too(tmp_path: Path):
    told = tmp_path / "told"
    (tmp_path / "program.py").write_text(PROGRAM.replace("{pause}", "0"))
    (tmp_path / "Makefile").write_text(f"up:\n\texec {sys.executable} program.py >{told}\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(["make", "-s", "up"], cwd=tmp_path, env=environment, start_new_session=True) as make:
        while not (told.exists() and told.read_text()):
            assert make.poll() is None
        process = psutil.Process(int(told.read_text()))
        make.kill()
    psutil.wait_procs([process], 30)
    assert told.read_text().splitlines()[1:] == ["stopping", "by 15"]
