"""What lmms-eval writes of one task, read: its metrics with their errors, and each document's score."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# lmms-eval's own, the one that knows most of how documents hang together first.
_ERRORS = ("stderr_clustered", "stderr", "stderr_clt")
# How its models for servers answer for a request that has failed, or that nobody would pay for.
_FAILED = ("[LMMS_EVAL_REQUEST_FAILED", "[LMMS_EVAL_BUDGET_EXCEEDED")


class UnusableError(Exception):
    """lmms-eval's files don't hold a result; the message says why."""


@dataclass(frozen=True)
class Metric:
    """One of a task's.

    Attributes:
        value: over all documents.
        stderr: of it, as lmms-eval tells it; None if it doesn't.
        scores: of each document, by its id as text; empty where the value is not their mean.
    """

    value: float
    stderr: float | None
    scores: dict[str, float]


@dataclass(frozen=True)
class Reading:
    """One task at one retention.

    Attributes:
        metrics: by name and filter, as ``anls,none``, the task's first one first.
        documents: how many were asked.
        kept, total: visual tokens of a prompt, and before any was dropped: means over the answers.
    """

    metrics: dict[str, Metric]
    documents: int
    kept: float
    total: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Reading:
        metrics = {name: Metric(**metric) for name, metric in found["metrics"].items()}
        return cls(**{**found, "metrics": metrics})


def read_task(folder: Path, task: str) -> tuple[dict[str, Metric], int]:
    """A task's metrics, and how many documents were asked.

    Args:
        folder: lmms-eval's ``--output_path``, of one run.
        task: its name.

    Raises:
        UnusableError: there is no result, none with a number, or of requests that have failed.
    """
    found = _one(folder, "*_results.json")
    whole = json.loads(found.read_text(encoding="utf-8"))
    results = whole["results"].get(task, {})
    names = [name for name, value in results.items() if "," in name and "_stderr" not in name and _number(value)]
    if not names:
        parts = whole.get("group_subtasks", {}).get(task, [])
        hint = f"; name its parts: {','.join(parts)}" if parts else ""
        raise UnusableError(f"{task} has no metric of its own{hint}")
    lines = _samples(folder, task)
    # Of a group it has files of the parts alone.
    asked = lines or _samples(folder, "*")
    failed = sum(any(mark in json.dumps(line.get("filtered_resps")) for mark in _FAILED) for line in asked)
    if failed:
        raise UnusableError(
            f"{failed} of {task}'s {len(asked)} requests have failed, and lmms-eval counts them as wrong"
        )
    metrics = {name: _metric(name, results, lines) for name in _ordered(names, whole.get("configs", {}).get(task, {}))}
    return metrics, len({(line["doc_hash"], line["doc_id"]) for line in asked})


def _metric(name: str, results: Mapping[str, Any], lines: list[dict[str, Any]]) -> Metric:
    bare, _, chosen = name.partition(",")
    errors = (results.get(f"{bare}_{error},{chosen}") for error in _ERRORS)
    value = float(results[name])
    scores: dict[str, float] = {}
    for line in lines:
        score = line.get(bare)
        if line.get("filter", chosen) == chosen and score is not None and _number(score):
            scores[str(line["doc_id"])] = float(score)
    # Some are no mean of their documents', in points neither: then a draw of documents says nothing of them.
    mean = math.fsum(scores.values()) / len(scores) if scores else math.nan
    whole = len(scores) == len({line["doc_id"] for line in lines})
    scale = next(
        (each for each in (1.0, 100.0) if whole and math.isclose(each * mean, value, rel_tol=1e-6, abs_tol=1e-9)), 0.0
    )
    scaled = {each: scale * score for each, score in scores.items()} if scale else {}
    return Metric(value, next(filter(_number, errors), None), scaled)


def _ordered(names: list[str], config: Mapping[str, Any]) -> list[str]:
    """As the task lists its metrics, for the first is what it is known by."""
    listed = [each.get("metric") for each in config.get("metric_list", []) if isinstance(each, Mapping)]
    return sorted(
        names, key=lambda name: listed.index(bare) if (bare := name.partition(",")[0]) in listed else len(listed)
    )


def _samples(folder: Path, task: str) -> list[dict[str, Any]]:
    """A line a document and filter."""
    return [
        json.loads(line)
        for path in folder.rglob(f"*_samples_{task}.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        raise UnusableError(f"lmms-eval has written {len(found)} files {pattern}, and one is expected")
    return found[0]


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
