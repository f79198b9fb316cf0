"""A heat map of a histogram's buckets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from benchmarks.boards import palette
from benchmarks.boards.answers import Series
from benchmarks.boards.area import Area
from benchmarks.boards.shown import MARGIN, Panel, Shown
from benchmarks.boards.units import text

_MOST_BOUNDS = 9


def heatmap(panel: Panel, series: Sequence[Series], area: Area, shown: Shown) -> None:
    """What fell in each bucket at each time; by its upper bound, which is a series' legend."""
    ordered = sorted(series, key=lambda one: float(one.legend))
    times = sorted({time for one in ordered for time in one.times})
    step = min((later - time for time, later in itertools.pairwise(times)), default=1.0)
    axes = area.inside(MARGIN, 4, 14, 22).axes()
    edges = [time - step / 2 for time in times] + [times[-1] + step / 2]
    counts = single(ordered, times)
    lines = range(len(ordered) + 1)
    axes.pcolormesh(edges, lines, counts, cmap="Blues_r", vmin=0, edgecolor=palette.PANEL, linewidth=0.6)
    unit = panel["options"]["yAxis"]["unit"]
    # Not all bounds have room for their words.
    bounds = range(0, len(ordered), -(-len(ordered) // _MOST_BOUNDS))
    axes.set_yticks([bound + 1 for bound in bounds])
    axes.set_yticklabels([_bound(ordered[bound].legend, unit) for bound in bounds])
    shown.along(axes)


def single(ordered: Sequence[Series], times: Sequence[float]) -> list[list[float]]:
    """What is in each bucket alone at each time, NaN for nothing; a bucket as it is counts those below, too."""
    under = dict.fromkeys(times, 0.0)
    counts = []
    for one in ordered:
        upto = dict(zip(one.times, one.values, strict=True))
        counts.append([max(0.0, upto.get(time, under[time]) - under[time]) or math.nan for time in times])
        under.update(upto)
    return counts


def _bound(le: str, unit: str) -> str:
    return "more" if math.isinf(float(le)) else text(float(le), unit)
