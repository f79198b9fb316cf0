"""From readings to the numbers that are reported: plain values, in the shape that benchmarks.accuracy has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy.bootstrap import DRAWS, LEVEL, Resampled, SceneBootstrap
from benchmarks.accuracy.methods import HERO
from benchmarks.accuracy.summary import OVERALL, Values

from .results import Reading, UnusableError


@dataclass(frozen=True)
class Curve:
    """A task's metric over the retentions, the whole first.

    Args:
        task: its name.
        metric: by name and filter.
        readings: one a retention.
    """

    task: str
    metric: str
    readings: Sequence[Reading]

    def draws(self, seed: int) -> Resampled | None:
        """Means over documents, of the same draws at all retentions; None where documents have no scores."""
        scores = [reading.metrics[self.metric].scores for reading in self.readings]
        if not scores[0] or any(each.keys() != scores[0].keys() for each in scores):
            return None
        names = list(scores[0])
        table = np.array([[each[name] for each in scores] for name in names])
        return SceneBootstrap(np.arange(len(names)), seed).accuracy(table)


def curves(readings: Mapping[str, Sequence[Reading]], chosen: Mapping[str, str]) -> list[Curve]:
    """A curve a task, of the metric chosen for it or of its first one.

    Args:
        readings: of each task, one a retention, the whole first.
        chosen: metrics by task, with or without their filter.

    Raises:
        UnusableError: a task has no such metric.
    """
    found = []
    for task, each in readings.items():
        names = list(each[0].metrics)
        wanted = chosen.get(task, names[0])
        metric = next((name for name in names if wanted in (name, name.partition(",")[0])), None)
        if metric is None:
            raise UnusableError(f"{task} has no metric {wanted!r}, but {', '.join(names)}")
        found.append(Curve(task, metric, each))
    return found


def summarise(found: Sequence[Curve], retentions: Sequence[float], setup: Values) -> Values:
    """Each task's metric, its share of that with all tokens, and the mean of the shares, with intervals.

    Returns:
        ``setup``; ``tasks``: name, metric, documents, and lists over retentions: ``value``, ``stderr`` (lmms-eval's,
        null if it tells none), ``kept``, ``total``, and where documents have scores ``low``, ``high`` and, of the
        whole minus this one, paired, ``loss``, ``loss_low``, ``loss_high``; ``metrics``: all that lmms-eval tells;
        ``methods``: the shares, in the shape of benchmarks.accuracy, a group a task. A bound that can't be told is
        null.
    """
    tasks, groups, every = [], {}, []
    for seed, curve in enumerate(found):
        task, share, draws = _task(curve, seed)
        tasks.append(task)
        every.append((share, draws))
        groups[curve.task] = _group(share, draws)
    mean = np.mean([share for share, _ in every], axis=0)
    known = [draws for _, draws in every if draws is not None]
    # Tasks are drawn each for itself, so that their mean is drawn by the mean of their draws.
    whole = np.mean(known, axis=0) if len(known) == len(every) else None
    line = {
        "name": HERO,
        "label": "share of the full accuracy",
        "kept": np.mean([task["kept"] for task in tasks], axis=0).tolist(),
        "groups": {OVERALL: _group(mean, whole)} | groups,
    }
    counts = {task["name"]: task["documents"] for task in tasks}
    return {
        "setup": setup
        | {
            "retentions": list(retentions),
            "questions": {OVERALL: sum(counts.values())} | counts,
            "bootstrap": {"draws": DRAWS, "level": LEVEL, "of": "documents"},
        },
        "tasks": tasks,
        "methods": [line],
    }


def _task(curve: Curve, seed: int) -> tuple[Values, Any, Any]:
    """What is told of it; its shares; their draws, or None."""
    readings, told = curve.readings, [reading.metrics[curve.metric] for reading in curve.readings]
    value = np.array([each.value for each in told])
    task: Values = {
        "name": curve.task,
        "metric": curve.metric,
        "documents": readings[0].documents,
        "value": value.tolist(),
        "stderr": [each.stderr for each in told],
        "kept": [reading.kept for reading in readings],
        "total": [reading.total for reading in readings],
        "metrics": {
            name: [[reading.metrics[name].value, reading.metrics[name].stderr] for reading in readings]
            for name in readings[0].metrics
            if all(name in reading.metrics for reading in readings)
        },
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        share = value / value[0]
        draws = curve.draws(seed)
        if draws is None:
            return task, share, None
        loss = draws[..., :1].minus(draws)
        for name, each in (("", draws), ("loss_", loss)):
            interval = each.interval()
            task |= {f"{name}low": interval.low.tolist(), f"{name}high": interval.high.tolist()}
        task["loss"] = loss.mean.tolist()
        return task, share, draws.draws / draws.draws[:, :1]


def _group(mean: Any, draws: Any) -> Values:
    """Shares and, where there are draws, their bounds; of nothing there is no share."""
    if draws is None or not np.isfinite(mean).all():
        nothing = [None] * len(mean)
        return {"accuracy": _plain(mean), "low": nothing, "high": nothing}
    # Nor in a draw in which nothing is right.
    interval = Resampled(mean, draws[np.isfinite(draws).all(axis=1)]).interval()
    return {"accuracy": _plain(mean), "low": _plain(interval.low), "high": _plain(interval.high)}


def _plain(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
