"""What Prometheus answers to a panel's queries, by legend."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.boards.variables import Window, resolved
from scripts.prometheus import Api

_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Series:
    """Args:
    legend: as it stands below a panel.
    times: in seconds since the window's start, ascending.
    values: at these; NaN where Prometheus says so.
    """

    legend: str
    times: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return self._of(lambda known: sum(known) / len(known))

    @property
    def largest(self) -> float:
        return self._of(max)

    @property
    def last(self) -> float:
        return self._of(lambda known: known[-1])

    def _of(self, reduce: Any) -> float:
        known = [value for value in self.values if not math.isnan(value)]
        return float(reduce(known)) if known else math.nan


def answers(panel: Mapping[str, Any], values: Mapping[str, str], window: Window, api: Api) -> list[Series]:
    """Every series of a panel, in the order of its queries.

    Raises:
        QueryError: Prometheus does not take an expression.
    """
    return [
        _series(answer, target, window)
        for target in panel["targets"]
        for answer in _asked(resolved(target["expr"], values), window, api, instant=target["instant"])
    ]


def firing(board: Mapping[str, Any], values: Mapping[str, str], window: Window, api: Api) -> list[Series]:
    """The dashboard's annotations: alerts, by name and severity, at the times when they fire."""
    found = []
    for each in board["annotations"]["list"]:
        for answer in _asked(resolved(each["expr"], values), window, api, instant=False):
            tags = [answer["metric"][key] for key in each["tagKeys"].split(",") if key in answer["metric"]]
            words = " ".join([each["titleFormat"], each["textFormat"], *tags])
            found.append(_series(answer, {"legendFormat": words}, window))
    return found


def legend(words: str, labels: Mapping[str, str]) -> str:
    """With labels put in; one that a series does not have is told by its name."""
    return _LABEL.sub(lambda match: labels.get(match[1]) or match[1], words)


def _asked(expr: str, window: Window, api: Api, *, instant: bool) -> list[dict[str, Any]]:
    if instant:
        found: list[dict[str, Any]] = api.get("query", query=expr, time=str(window.end))["result"]
        return [{**sample, "values": [sample["value"]]} for sample in found]
    # On whole steps, as Grafana asks.
    start, end = (moment // window.every_s * window.every_s for moment in (window.start, window.end))
    times = {"start": str(start), "end": str(end), "step": str(window.every_s)}
    found = api.get("query_range", query=expr, **times)["result"]
    return sorted(found, key=lambda answer: sorted(answer["metric"].items()))


def _series(answer: Mapping[str, Any], target: Mapping[str, Any], window: Window) -> Series:
    times, values = zip(*answer["values"], strict=True)
    name = legend(target["legendFormat"], answer["metric"])
    return Series(name, tuple(time - window.start for time in times), tuple(float(value) for value in values))
