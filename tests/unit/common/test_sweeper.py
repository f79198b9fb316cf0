"""What a killed process's children have started ends too."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

# A child in a session of its own, with one of its own, which stays when that is gone; and whether it is killed.
PROGRAM = """
import os, subprocess, sys
from services.common import sweeper
child = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, start_new_session=True)
below = int(child.stdout.readline())
watcher = sweeper.Sweeper()
watcher.add(2**22 - 1)
watcher.add(child.pid)
print(child.pid, below, watcher._process.pid, flush=True)
# Until whoever reads that has found them all.
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["stays", "ends"])
def test_groups_end_with_who_is_killed_and_are_left_to_who_ends(how: str):
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        *group, watcher = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        if how == "stays":
            process.kill()
        process.communicate(timeout=60)
    _, left = psutil.wait_procs([watcher, *(group if how == "stays" else ())], 30)
    assert left == []
    if how == "stays":
        return
    _, left = psutil.wait_procs(group, 0.5)
    assert set(left) == set(group)
    for each in left:
        each.kill()
