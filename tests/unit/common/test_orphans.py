"""What a library started ends with the process that used it, killed or not; and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.support.waiting import until

# A process that starts another, which starts a third, as engines do; each in a group of its own, or not.
USER = """
import subprocess, sys, time
from services.common.orphans import Orphans
orphans = Orphans()
sleep = "import time; time.sleep(600)"
inner = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', '{sleep}']); print(p.pid, flush=True)"
inner = f"{inner}; {sleep}"
child = subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE, text=True, start_new_session=True)
grandchild = child.stdout.readline().strip()
# It looks once a second.
time.sleep(3)
if "settled" in sys.argv:
    orphans.settled()
print(child.pid, grandchild, flush=True)
if "ends" not in sys.argv:
    time.sleep(600)
"""


def gone(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("way", ["killed", "settled", "ends"])
def test_they_end_with_it(way: str):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    user = subprocess.Popen([sys.executable, "-c", USER, way], stdout=subprocess.PIPE, text=True)
    started = [int(number) for number in user.stdout.readline().split()]
    assert len(started) == 2
    try:
        if way != "ends":
            assert not any(map(gone, started))
            user.send_signal(signal.SIGKILL)
        user.wait()
        assert until(lambda: all(map(gone, started)), 30, 0.1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        user.stdout.close()
        for number in started:
            if not gone(number):
                os.kill(number, signal.SIGKILL)
