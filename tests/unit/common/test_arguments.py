"""A service that is asked for help does not start."""

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
