"""lmms-eval scores the bundled model over the bundled test set: what docs/accuracy.md says, but for the sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.clients import scenes
from tests.clients.conftest import Door

TASKS = Path(__file__).parent / "tasks"
# As tests/e2e/test_answers.py has it: under what is measured on thousands, by more than the spread of these.
FLOOR = 0.8


def test_the_bundled_test_set(door: Door, tmp_path: Path):
    asked = scenes.write(tmp_path / "asked.jsonl", 12)
    assert asked > 50
    shutil.copytree(TASKS, tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    task = tmp_path / "tasks" / "scenes.yaml"
    task.write_text(task.read_text().replace("DATA", str(tmp_path / "asked.jsonl")))
    door.run(
        "lmms-eval",
        *("python", "-m", "lmms_eval", "--model", "openai", "--tasks", "heroserve_scenes"),
        *("--model_args", f"model={door.model},num_concurrent=4,max_retries=1,timeout=60", "--batch_size", "1"),
        *("--include_path", str(task.parent), "--output_path", str(tmp_path / "told"), "--log_samples"),
        HF_HOME=str(tmp_path / "cache"),
    )
    (results,) = (tmp_path / "told").rglob("*_results.json")
    told = json.loads(results.read_text())
    assert told["results"]["heroserve_scenes"]["exact_match,none"] >= FLOOR
    (samples,) = (tmp_path / "told").rglob("*_samples_heroserve_scenes.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == asked
    assert not any("FAILED" in str(line["filtered_resps"]) for line in lines)
