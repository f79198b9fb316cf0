"""lmms-eval scores the bundled model at three retentions, by the command that does so for any checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.stack import ROOT
from tests.clients import scenes
from tests.clients.conftest import ENVIRONMENTS, KEY, Door

TASKS = Path(__file__).parent / "tasks"
# As tests/e2e/test_answers.py has it: under what is measured on thousands, by more than the spread of these.
FLOOR = 0.8
TASK = "heroserve_scenes"

# Three runs, each of which loads torch and a data set.
pytestmark = pytest.mark.timeout(900)


def test_the_bundled_test_set(door: Door, tmp_path: Path):
    asked = scenes.write(tmp_path / "asked.jsonl", 12)
    assert asked > 50
    shutil.copytree(TASKS, tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    task = tmp_path / "tasks" / "scenes.yaml"
    task.write_text(task.read_text().replace("DATA", str(tmp_path / "asked.jsonl")))
    python = ENVIRONMENTS / "lmms-eval" / "bin" / "python"
    assert python.exists(), f"{python} is not there; `make test-clients` makes it"
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "benchmarks.lmms_eval", "--url", f"{door.host}/v1", "--tasks", TASK),
        *("--retentions", "0.05,1,0.2", "--python", str(python), "--out", str(out), "--concurrency", "4"),
        *("--", "--include_path", str(task.parent)),
    ]

    def run() -> str:
        variables = {"OPENAI_API_KEY": KEY, "HF_HOME": str(tmp_path / "cache")}
        variables |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr[-6000:]
        return done.stderr

    run()
    told = json.loads((out / "lmms-eval.json").read_text())
    (scored,) = told["tasks"]
    assert (scored["metric"], scored["documents"]) == ("exact_match,none", asked)
    assert told["setup"]["retentions"] == [1, 0.2, 0.05]
    assert scored["value"][0] >= FLOOR
    # What was asked for is what was kept: a retention that got lost would keep all.
    whole = scored["total"][0]
    assert scored["total"] == [whole] * 3
    assert scored["kept"][0] == whole
    for retention, kept in zip((0.2, 0.05), scored["kept"][1:], strict=True):
        assert abs(kept / whole - retention) < 0.02
    # Documents have scores of their own, and so the difference an interval.
    assert scored["loss_low"][2] <= scored["loss"][2] <= scored["loss_high"][2]
    assert all(error > 0 for error in scored["stderr"])
    page = (out / "lmms-eval.md").read_text()
    assert "| % at retention | 100% | 20% | 5% |" in page
    assert (out / "lmms-eval.png").stat().st_size > 10_000
    runs = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
    assert run().count("(measured before)") == 3
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")} == runs
