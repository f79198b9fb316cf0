"""A Ray that does not come up; one that does is in tests/integration and tests/e2e."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.common.ray_start import _sessions_of_their_own

START = """
import os
from services.common import own_ray, node
node.set_environment()
own_ray.close()
from services.common import ray_start
from services.common.settings import SettingError
try:
    ray_start.start(None)
except SettingError as error:
    print(error)
print("left", len(__import__("psutil").Process().children()))
"""


def started(**variables: str) -> list[str]:
    found = subprocess.run(
        [sys.executable, "-c", START],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert found.returncode == 0, found.stderr
    assert "Traceback" not in found.stderr
    # Of the tries before the last.
    assert found.stderr.count("trying again") == 2, found.stderr
    return found.stdout.splitlines()


def test_one_that_is_too_slow_is_tried_again_and_told_in_one_line(tmp_path: Path):
    """As a busy machine's: its control store has not said in time where it listens."""
    line, left = started(RAY_gcs_server_port_wait_time_s="0", RAY_TMPDIR=str(tmp_path))
    assert line.startswith("Ray did not start in 3 tries (")
    assert line.endswith(f"Its own logs are in {tmp_path}/ray/session_latest/logs")
    assert left == "left 0"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they stay in the group")
def test_its_processes_are_in_sessions_of_their_own_and_known():
    known: list[subprocess.Popen[bytes]] = []
    with _sessions_of_their_own(known):
        subprocess.Popen(["sleep", "60"])
    after = subprocess.Popen(["sleep", "60"])
    try:
        assert [process.args for process in known] == [["sleep", "60"]]
        assert os.getsid(known[0].pid) == known[0].pid
        assert os.getsid(after.pid) == os.getsid(0)
    finally:
        for process in (*known, after):
            process.kill()
            process.wait()


def test_processes_of_other_threads_are_none_of_rays():
    """A service's application is made meanwhile, and may ask another process something."""
    known: list[subprocess.Popen[bytes]] = []
    with _sessions_of_their_own(known), ThreadPoolExecutor(1) as other:
        theirs = other.submit(subprocess.Popen, ["sleep", "60"]).result()
    try:
        assert known == []
        assert os.getsid(theirs.pid) == os.getsid(0)
    finally:
        theirs.kill()
        theirs.wait()
