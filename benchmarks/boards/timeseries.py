"""Lines over time, stacked or not, with thresholds and a legend."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.boards import palette
from benchmarks.boards.answers import Series
from benchmarks.boards.area import Area
from benchmarks.boards.legend import Legend
from benchmarks.boards.shown import MARGIN, Panel, Shown
from benchmarks.boards.units import grain, text

_Line = list[tuple[float, float, float]]


def timeseries(panel: Panel, series: Sequence[Series], area: Area, shown: Shown) -> None:
    """A line a series; on top of each other where the panel says so."""
    defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
    custom = defaults["custom"]
    own = [palette.overridden(one.legend, overrides) for one in series]
    colors = [palette.of_series(number, said) for number, said in enumerate(own)]
    legend = Legend(panel, series, colors)
    axes = legend.beside(area).inside(MARGIN, 4, 14, 22).axes()
    highest = 0.0
    lines = stacked(series) if custom["stacking"]["mode"] == "normal" else [_alone(one) for one in series]
    for line, color, said in zip(lines, colors, own, strict=True):
        dash = (0, (6, 4)) if "custom.lineStyle" in said else "solid"
        opacity = said.get("custom.fillOpacity", custom["fillOpacity"]) / 100
        highest = max([highest, *(top for _, _, top in line)])
        for run in runs(line, custom["spanNulls"] / 1000):
            times, bottoms, tops = zip(*run, strict=True)
            axes.plot(
                times,
                tops,
                color=color,
                linewidth=1.2,
                linestyle=dash,
                marker="." if len(run) == 1 else "",
                markersize=3,
            )
            axes.fill_between(times, tops, bottoms, color=color, alpha=opacity, linewidth=0)
    axes.set_ylim(defaults["min"], defaults.get("max") or highest * 1.08 or 1.0)
    if custom["thresholdsStyle"]["mode"] != "off":
        _thresholds(axes, panel)
    _values(axes, defaults["unit"], defaults.get("decimals"))
    shown.along(axes)
    legend.draw(area)


def stacked(series: Sequence[Series]) -> list[_Line]:
    """Of each series its points, but those that are NaN: time, the height of what lies below, and its own on top."""
    heights: dict[float, float] = {}
    lines = []
    for one in series:
        line = [(time, heights.get(time, 0.0), heights.get(time, 0.0) + top) for time, _, top in _alone(one)]
        heights.update({time: top for time, _, top in line})
        lines.append(line)
    return lines


def runs(line: _Line, span_s: float) -> list[_Line]:
    """The parts of a line that are drawn through: no more than ``span_s`` of nothing is bridged."""
    found: list[_Line] = []
    for point in line:
        if found and point[0] - found[-1][-1][0] <= span_s:
            found[-1].append(point)
        else:
            found.append([point])
    return found


def _alone(one: Series) -> _Line:
    points = zip(one.times, one.values, strict=True)
    return [(time, 0.0, value) for time, value in points if not math.isnan(value)]


def _thresholds(axes: Axes, panel: Panel) -> None:
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is not None:
            axes.axhline(step["value"], color=palette.named(step["color"]), linestyle=(0, (6, 4)), linewidth=1)


def _values(axes: Axes, unit: str, decimals: int | None) -> None:
    most = axes.get_ylim()[1]
    one = grain(most, unit)
    axes.set_yticks(
        [tick * one for tick in MaxNLocator(4, integer=decimals == 0).tick_values(0, most / one) if tick * one <= most]
    )
    # Without what a sum of steps leaves behind the point.
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(float(f"{value:.6g}"), unit, decimals)))
    axes.grid(axis="both", color=palette.EDGE, linewidth=0.6)
