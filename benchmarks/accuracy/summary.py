"""From an outcome to the numbers that are reported: plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import DRAWS, LEVEL, Resampled, SceneBootstrap
from .evaluate import Outcome
from .methods import Method

OVERALL = "overall"
ONE_OBJECT = "one object, of any kind"
Values = dict[str, Any]


def summarise(
    outcome: Outcome, methods: Sequence[Method], retentions: Sequence[float], setup: Values, seed: int = 0
) -> Values:
    """Accuracy with intervals of every method, retention and kind, and the first method's lead over each other.

    Returns:
        ``setup``; ``methods``: name, label, and by group (overall, each kind, each way) lists over retentions:
        ``accuracy``, ``low``, ``high``, and of the first method minus this one ``lead``, ``lead_low``, ``lead_high``;
        ``kept`` and ``newlines``: mean tokens of the language model's prompt; ``relevance``: see ``_relevance``.
    """
    draw = SceneBootstrap(outcome.scenes, seed)
    kinds = list(dict.fromkeys(outcome.kinds.tolist()))
    ways = list(dict.fromkeys(outcome.ways.tolist()))
    groups = {OVERALL: np.ones(len(outcome.kinds), bool)} | {kind: outcome.kinds == kind for kind in kinds}
    if len(ways) > 1:
        groups |= {way: outcome.ways == way for way in ways}
    lines: list[Values] = [
        {
            "name": method.name,
            "label": method.label,
            "kept": outcome.kept[:, m].mean(axis=0).tolist(),
            "newlines": outcome.newlines[:, m].mean(axis=0).tolist(),
            "groups": {},
        }
        for m, method in enumerate(methods)
    ]
    for group, among in groups.items():
        accuracy = draw.accuracy(outcome.right, among)
        for m, line in enumerate(lines):
            line["groups"][group] = _bounds(accuracy[m], "accuracy", "low", "high") | _bounds(
                accuracy[0].minus(accuracy[m]), "lead", "lead_low", "lead_high"
            )
    return {
        "setup": setup
        | {
            "scenes": len(np.unique(outcome.scenes)),
            "questions": {OVERALL: len(outcome.kinds)} | {kind: int(groups[kind].sum()) for kind in kinds},
            "ways": {way: int(groups[way].sum()) for way in ways if way in groups},
            "retentions": list(retentions),
            "bootstrap": {"draws": DRAWS, "level": LEVEL, "of": "scenes", "seed": seed},
        },
        "methods": lines,
        "relevance": _relevance(outcome, draw, groups),
    }


def _relevance(outcome: Outcome, draw: SceneBootstrap, groups: dict[str, NDArray[np.bool_]]) -> Values:
    """How often the most relevant local tile is the asked-for object's, against a tile drawn blindly.

    Questions about no object that is there do not count; one about several is right with any tile of theirs. Of those
    about one object chance is the mean of 1 / K.
    """
    found: Values = {}
    for group, among in ({ONE_OBJECT: outcome.objects == 1} | groups).items():
        counted = among & ~np.isnan(outcome.first)
        if not counted.any():
            continue
        both = draw.accuracy(np.stack([outcome.first, outcome.chance], axis=1), counted)
        rate, lead = both[0].interval(), both[0].minus(both[1]).interval()
        found[group] = {
            "questions": int(counted.sum()),
            "rate": float(rate.mean),
            "low": float(rate.low),
            "high": float(rate.high),
            "chance": float(both.mean[1]),
            "lead": float(lead.mean),
            "lead_low": float(lead.low),
            "lead_high": float(lead.high),
        }
    return found


def _bounds(resampled: Resampled, mean: str, low: str, high: str) -> Values:
    interval = resampled.interval()
    return {mean: interval.mean.tolist(), low: interval.low.tolist(), high: interval.high.tolist()}
