"""Processes come and go; what they counted stays, in a few files, and no moment shows it twice or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.common import metric_files, metrics
from services.common.metric_files import FolderCollector, fold

# Counts, and lives until it is told to end.
PROCESS = """
import sys
from services.common.metrics import Counter, Gauge, Histogram
if len(sys.argv) > 2:
    held = Gauge("things_held", "Held.", multiprocess_mode="livesum")
    held.inc(float(sys.argv[2]))
Counter("things_total", "Things.", ["kind"]).labels(kind='a "quoted" one').inc(float(sys.argv[1]))
seconds = Histogram("things_seconds", "Seconds.", ["of"], buckets=(1, 2))
for value in (0.5, 1.5, 3):
    seconds.labels(of="x").observe(value)
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    metrics.prepare(str(tmp_path / "metrics"))
    return tmp_path / "metrics"


def begin(folder: Path, *amounts: float) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, *map(str, amounts or (1,))],
        env={**os.environ, metrics.VARIABLE: str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "counted\n"
    return process


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def told(folder: Path) -> dict[str, float]:
    """Every sample, by its name and the label that tells it from others of that name."""
    return {
        sample.name + sample.labels.get("le", ""): sample.value
        for metric in FolderCollector(str(folder)).collect()
        for sample in metric.samples
    }


def times(processes: int, amount: float) -> dict[str, float]:
    return {
        "things_total": amount,
        "things_seconds_sum": 5.0 * processes,
        "things_seconds_count": 3 * processes,
        "things_seconds_bucket1.0": processes,
        "things_seconds_bucket2.0": 2 * processes,
        "things_seconds_bucket+Inf": 3 * processes,
    }


def dbs(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.db"))


def test_many_that_lived_and_died_leave_a_few_files_and_all_that_they_counted(folder: Path) -> None:
    lives = begin(folder, 100)
    amounts = 0.0
    for amount in range(1, 6):
        end(begin(folder, amount))
        amounts += amount
        assert told(folder) == times(amount + 1, 100 + amounts)
        # A folded one and the last one's of each of two kinds; and those of the one that lives.
        assert len(dbs(folder)) <= 6
    assert {f"counter_{lives.pid}.db", f"histogram_{lives.pid}.db"} < set(dbs(folder))
    end(lives)
    fold(folder)
    assert len(dbs(folder)) == 2
    assert told(folder) == times(6, 115)
    before = dbs(folder)
    fold(folder)
    assert dbs(folder) == before


def test_a_pid_that_comes_again_counts_on(folder: Path) -> None:
    """Of another process that got it, whose first file was folded: it must not be taken for that one."""
    process = begin(folder, 1)
    end(process)
    fold(folder)
    later = begin(folder, 2)
    for kind in ("counter", "histogram"):
        (folder / f"{kind}_{later.pid}.db").rename(folder / f"{kind}_{process.pid}.db")
    assert told(folder) == times(2, 3)
    end(later)
    fold(folder)
    assert told(folder) == times(2, 3)


def test_what_a_process_held_goes_with_it(folder: Path) -> None:
    """At once, and not when the next one starts; what it counted stays."""
    first, second = begin(folder, 1, 3), begin(folder, 1, 4)
    assert told(folder)["things_held"] == 7
    end(first)
    assert told(folder)["things_held"] == 4
    assert told(folder)["things_total"] == 2
    fold(folder)
    assert [name for name in dbs(folder) if name.startswith("gauge")] == [f"gauge_livesum_{second.pid}.db"]
    end(second)
    assert "things_held" not in told(folder)


def test_a_pid_that_comes_again_holds_nothing(folder: Path) -> None:
    """In a container pids are few: what another held that had ours is not added to."""
    process = begin(folder, 1, 3)
    end(process)
    (folder / f"gauge_livesum_{process.pid}.db").rename(folder / f"gauge_livesum_{os.getpid()}.db")
    fold(folder)
    assert [name for name in dbs(folder) if name.startswith("gauge")] == []


@pytest.mark.parametrize("step", ["append", "write", "tidied"])
def test_killed_while_it_folds(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Wherever it stops, what is told stays; and the next one finishes."""
    for amount in (1, 2):
        end(begin(folder, amount))
    fold(folder)
    end(begin(folder, 4))
    right = times(3, 7)

    class Killed(BaseException):
        pass

    calls = []

    def killed(*_: object) -> None:
        calls.append(1)
        raise Killed

    with monkeypatch.context() as patch:
        if step == "append":
            patch.setattr(metric_files, "_append", killed)
        elif step == "write":
            patch.setattr(metric_files._Manifest, "write", killed)
        else:
            # The first one, of what an earlier fold left, is let through.
            tidied = metric_files._tidied
            patch.setattr(
                metric_files, "_tidied", lambda *args: killed() if calls else (calls.append(1), tidied(*args))[1]
            )
        with pytest.raises(Killed):
            fold(folder)
        assert told(folder) == right
    fold(folder)
    assert told(folder) == right
    assert len(dbs(folder)) == 2
    assert json.loads((folder / "folded.json").read_text())["folded"] == []


@pytest.mark.parametrize(
    "content", [b"", b"\1", b"\xff\xff\xff\x7f" + bytes(60), b"\x40\0\0\0\0\0\0\0\4\0\0\0{{{{" + bytes(90)]
)
def test_a_file_that_a_dead_process_left_unfinished(folder: Path, content: bytes) -> None:
    process = begin(folder, 3)
    end(process)
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    (folder / f"counter_{int(gone.stdout)}.db").write_bytes(content)
    fold(folder)
    assert told(folder) == times(1, 3)


def test_one_that_nobody_waited_for_is_dead(folder: Path) -> None:
    process = begin(folder, 3)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    fold(folder)
    assert f"counter_{process.pid}.db" not in dbs(folder)
    assert told(folder) == times(1, 3)
    process.communicate()
