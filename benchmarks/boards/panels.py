"""Panels, drawn by their kind from their JSON and from Prometheus' answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from benchmarks.boards import palette
from benchmarks.boards.answers import Series
from benchmarks.boards.area import Area
from benchmarks.boards.heatmap import heatmap
from benchmarks.boards.shown import Panel, Shown
from benchmarks.boards.timeseries import timeseries
from benchmarks.boards.units import text

_HEAD = 30
# What is to be had only where there is such a thing, by a part of its name.
_ELSEWHERE = (("ray_node_g", "no GPU was there"), ("heroserve_engine", "no vLLM was there"))


def draw(panel: Panel, series: Sequence[Series], area: Area, shown: Shown) -> None:
    """One panel with its frame and its title.

    Raises:
        KeyError: its kind is none of ``KINDS``.
    """
    kind = KINDS[panel["type"]]
    area.box()
    area.write(10, 16, panel["title"], 12.5)
    if any(not math.isnan(value) for one in series for value in one.values):
        kind(panel, series, area.inside(0, _HEAD, 0, 0), shown)
    else:
        area.write(area.width / 2, area.height / 2 + 8, _why_nothing(panel), 13, palette.FAINT, ha="center")


def stat(panel: Panel, series: Sequence[Series], area: Area, shown: Shown) -> None:
    """The last value of each series, side by side."""
    defaults = panel["fieldConfig"]["defaults"]
    each = area.width / len(series)
    for number, one in enumerate(series):
        words = text(one.last, defaults["unit"], defaults.get("decimals"))
        color = palette.of_value(one.last, defaults["thresholds"])
        middle, named = (number + 0.5) * each, len(series) > 1
        size = min(38.0, 1.35 * each / len(words))
        area.write(middle, area.height / 2 - (12 if named else 6), words, size, color, ha="center")
        if named:
            area.write(middle, area.height - 16, one.legend, 11, ha="center")


KINDS: Mapping[str, Callable[[Panel, Sequence[Series], Area, Shown], None]] = {
    "stat": stat,
    "timeseries": timeseries,
    "heatmap": heatmap,
}


def _why_nothing(panel: Panel) -> str:
    said: str = panel["fieldConfig"]["defaults"]["noValue"]
    if said != "no data":
        return said
    asked = " ".join(target["expr"] for target in panel["targets"])
    return "no data here" + next((f": {why}" for part, why in _ELSEWHERE if part in asked), "")
