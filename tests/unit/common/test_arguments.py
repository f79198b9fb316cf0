"""What a service is started with: no arguments, and files that somebody may have closed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("argument", "status", "stream"), [("-h", 0, "stdout"), ("--help", 0, "stdout"), ("--port=9001", 2, "stderr")]
)
def test_a_service_takes_no_arguments(argument, status, stream):
    done = subprocess.run([sys.executable, "-m", "services.llm", argument], capture_output=True, text=True, timeout=120)
    told = getattr(done, stream)
    assert done.returncode == status
    assert done.stdout + done.stderr == told
    assert told.count("\n") == 1
    assert "HEROSERVE_*" in told


SETTLE = """
from services.common import standard_files
standard_files.settle()
import os, socket, sys
with socket.socket() as connection:
    print("out"); print("err", file=sys.stderr); sys.stdin.read()
    sys.exit(connection.fileno() if connection.fileno() < 3 else 77)
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_is_nobodys_connection(closed):
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, SETTLE], capture_output=True, text=True
    )
    assert done.returncode == 77
    assert done.stdout == ("" if " >" in f" {closed}" else "out\n")
    assert done.stderr == ("" if "2>" in closed else "err\n")
