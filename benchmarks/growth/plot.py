"""The picture of growth: above how fast, below whose the time is."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from benchmarks.census import PARTS
from benchmarks.growth.tables import gathered

# Okabe and Ito's colours, told apart by any eyes; markers tell the same in grey.
_LINES = ("#0072B2", "#D55E00", "#777777", "#009E73", "#CC79A7")
_MARKERS = "osv^D"
_COLOURS = dict(
    zip(
        PARTS,
        ("#009E73", "#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#CC79A7", "#777777", "#DDDDDD", "#BBBBBB"),
        strict=True,
    )
)


def draw(found: dict[str, Any], path: Path) -> None:
    """A column a piece: requests a second by kind, and core-milliseconds of one of the first kind's by part."""
    figure = Figure(figsize=(4.3 * len(found), 7.4), layout=ConstrainedLayoutEngine(w_pad=0.1), dpi=130)
    columns = figure.subplots(2, len(found), squeeze=False)
    for at, (name, values) in enumerate(found.items()):
        _rates(columns[0][at], name, values)
        _parts(columns[1][at], values)
    columns[0][0].set_ylabel("requests a second (log scale)")
    columns[1][0].set_ylabel("core-milliseconds a request")
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})


def _rates(axes: Axes, name: str, values: dict[str, Any]) -> None:
    places = gathered(values)
    kinds = dict.fromkeys(kind for kind, _ in places)
    for kind, colour, marker in zip(kinds, _LINES, _MARKERS, strict=False):
        line = [(x, points) for (other, x), points in places.items() if other == kind]
        rates = [median(point.rate for point in points) for _, points in line]
        axes.plot([x for x, _ in line], rates, color=colour, marker=marker, markersize=4.5, label=kind)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(name, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(values["grows"])
    axes.legend(fontsize=8, framealpha=0.9, edgecolor="none")
    _plain(axes)


def _parts(axes: Axes, values: dict[str, Any]) -> None:
    places = gathered(values)
    # What is asked at one place alone is there to compare with.
    shown = max(dict.fromkeys(kind for kind, _ in places), key=lambda kind: sum(other == kind for other, _ in places))
    bars = [(x, points) for (kind, x), points in places.items() if kind == shown]
    below = [0.0] * len(bars)
    for part in PARTS:
        heights = [median(point.cores.get(part, 0.0) for point in points) for _, points in bars]
        if max(heights) > 0:
            axes.bar([str(x) for x, _ in bars], heights, bottom=below, color=_COLOURS[part], label=part)
        below = [one + other for one, other in zip(below, heights, strict=True)]
    # Room for the legend.
    axes.set_ylim(top=1.7 * max(below))
    axes.set_xlabel(f"{values['grows']} ({shown})")
    axes.legend(fontsize=8, framealpha=0.9, edgecolor="none")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.grid(color="#DDDDDD", linewidth=0.7, axis="y")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
