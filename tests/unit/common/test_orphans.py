"""What a library started ends with the process that used it, killed or not; and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

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


WAYS = ("killed", "settled", "ends")


@pytest.fixture(scope="module")
def users() -> Iterator[dict[str, subprocess.Popen[str]]]:
    """One for each way to end, which look at what they have at the same time."""
    command = [sys.executable, "-c", USER]
    users = {way: subprocess.Popen([*command, way], stdout=subprocess.PIPE, text=True) for way in WAYS}
    yield users
    for user in users.values():
        user.kill()
        user.wait()
        user.stdout.close()


@pytest.mark.parametrize("way", WAYS)
def test_they_end_with_it(users: dict[str, subprocess.Popen[str]], way: str):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    user = users[way]
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
        for number in started:
            if not gone(number):
                os.kill(number, signal.SIGKILL)
