"""A full disk takes no process with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.common import metrics

# Counts in more labels than its file holds at first. The disk is full before it begins, or when it has begun.
COUNT = """
import sys
from services.common.metrics import Counter, Histogram
things = Counter("things_total", "Things.", ["kind"])
for number in range(3000):
    if number == 5 and "fill" in sys.argv:
        with open(sys.argv[1] + "/filler", "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)): pass
            except OSError: pass
    things.labels(kind=str(number) * 9).inc(number)
things.labels(kind="3" * 9).inc(1)
for number, value in ((3, 4), (4, 4), (2999, 2999)):
    assert things.labels(kind=str(number) * 9)._value.get() == value
Histogram("seconds", "Seconds.").observe(1)
print("counted")
"""
PREPARE = "import sys; from services.common import metrics; metrics.prepare(sys.argv[1])"


@pytest.fixture
def in_small_disk(tmp_path: Path) -> list[str]:
    """What a command begins with that has a disk of 300 kB of its own at ``tmp_path``, and metrics' folder in it."""
    unshare = shutil.which("unshare")
    if not unshare or not hasattr(os, "memfd_create"):
        pytest.skip("file systems of a process's own are Linux's")
    apart = [unshare, "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    mount = f'mount -t tmpfs -o size=300k,mode=700 disk "{tmp_path}"'
    if subprocess.run([*apart, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    script = (
        f'{mount}; python=$1; folder=$2; count=$3; "$python" -c "$4" "$folder"; shift 4; for run; do eval "$run"; done'
    )
    return [*apart, "sh", "-ec", script, "sh", sys.executable, str(tmp_path / "service" / "metrics"), COUNT, PREPARE]


def run(in_small_disk: list[str], *scripts: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, metrics.VARIABLE: in_small_disk[-3]}
    return subprocess.run([*in_small_disk, *scripts], env=variables, capture_output=True, text=True, timeout=60)


def test_a_process_counts_on_when_the_disk_is_full_and_another_starts_there(in_small_disk: list[str]):
    """Without room taken beforehand each ends with SIGBUS."""
    told = run(in_small_disk, '"$python" -c "$count" "$folder" fill', '"$python" -c "$count"')
    assert (told.returncode, told.stdout) == (0, "counted\n" * 2), told.stderr
    warning = "HEROSERVE_METRICS_DIR: No space left on device; what this process counts from now on is not told"
    assert told.stderr.count(warning) == 4  # each for two files


def test_what_the_dead_counted_stays_where_there_is_no_room_to_fold_it(in_small_disk: list[str]):
    sums = 'md5sum "$folder"/counter_*.db'
    told = run(in_small_disk, '"$python" -c "$count" "$folder" fill', sums, '"$python" -c "$count"', sums)
    assert told.returncode == 0, told.stderr
    assert "counts of dead processes stay in many files: No space left on device" in told.stderr
    before, after = [part.strip() for part in told.stdout.split("counted\n") if part]
    assert before
    assert before in after
