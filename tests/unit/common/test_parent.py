"""A process ends with its parent, however that ends."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from services.common import parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no other kernel does it")

BOUND = f"[sys.executable, '-I', '-S', {parent.__file__!r}, PARENT, '/bin/sleep', '60']"
START = """
import os, subprocess, sys
child = subprocess.Popen({command}, start_new_session=True)
# The launcher becomes the command.
while open(f"/proc/{{child.pid}}/comm").read() != "sleep\\n":
    if child.poll() is not None:
        break
print(child.pid if child.poll() is None else "ended with %d" % child.poll(), flush=True)
sys.stdin.read()
"""


def start(parent: str) -> tuple[subprocess.Popen[str], str]:
    command = BOUND.replace("PARENT", parent)
    process = subprocess.Popen(
        [sys.executable, "-c", START.format(command=command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_it_is_killed_with_it():
    process, told = start("str(os.getpid())")
    child = psutil.Process(int(told))
    process.kill()
    process.communicate()
    child.wait(30)


def test_it_is_not_started_where_that_is_gone_already():
    process, told = start("'1'")
    process.communicate()
    assert told == "ended with 0"
