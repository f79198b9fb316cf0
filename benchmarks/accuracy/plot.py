"""The picture of accuracy against retention: overall, and small beside it each kind of question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .methods import BLIND, HERO, THUMBNAIL
from .summary import OVERALL, Values

# How matplotlib draws a line: its keyword arguments.
Style = dict[str, Any]

# Okabe and Ito's colours, told apart by any eyes; markers tell the same in grey.
RULES: dict[str, Style] = {
    HERO: {"color": "#000000", "marker": "o", "linewidth": 3.0, "markersize": 6.5, "zorder": 10},
    "hired": {"color": "#D55E00", "marker": "s"},
    "last_layer": {"color": "#0072B2", "marker": "^"},
    "uniform": {"color": "#009E73", "marker": "D"},
    "random": {"color": "#CC79A7", "marker": "v"},
}
_PARTS: dict[str, Style] = {
    HERO: RULES[HERO],
    "no_relevance": {"color": "#D55E00", "marker": "s"},
    "no_saliency": {"color": "#0072B2", "marker": "^"},
    "low_only": {"color": "#009E73", "marker": "D"},
    "high_only": {"color": "#CC79A7", "marker": "v"},
    "by_score": {"color": "#56B4E9", "marker": "X"},
    "reference": {"color": "#E69F00", "marker": "P"},
}
_STAR: Style = {"color": "#777777", "marker": "*", "markersize": 9}
_FLOOR: Style = {"color": "#777777", "linestyle": (0, (1, 2)), "linewidth": 1.3, "zorder": 3}
_INK, _FAINT = "#333333", "#DDDDDD"


def draw(summary: Values, path: Path) -> None:
    """Two large panels (against other rules, against HERO with a part removed), one small one a kind."""
    kinds = [kind for kind in summary["setup"]["questions"] if kind != OVERALL]
    with mpl.rc_context(
        {
            "font.size": 10,
            "axes.edgecolor": _INK,
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
        }
    ):
        columns = max(len(kinds), 2)
        figure = Figure(figsize=(2.15 * max(columns, 5), 8.2), layout=ConstrainedLayoutEngine(w_pad=0.12), dpi=150)
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.9, 1.25])[:, 0]
        rules, parts = top.subplots(1, 2, sharey=True)
        panel(rules, summary, OVERALL, RULES, "Overall: HERO and other rules")
        panel(parts, summary, OVERALL, _PARTS, "Overall: HERO with a part removed or changed")
        rules.set_ylabel("right answers, %")
        for axes, styles in ((rules, RULES), (parts, _PARTS)):
            axes.set_xlabel("visual tokens kept, % (log scale)")
            _legend(axes, summary, styles)
        small = bottom.subplots(1, columns, sharey=True, squeeze=False)[0]
        for axes, kind in zip(small, kinds, strict=False):
            panel(axes, summary, kind, RULES, f"{kind} ({summary['setup']['questions'][kind]})", few_ticks=True)
        small[0].set_ylabel("right answers, %")
        bottom.supxlabel("visual tokens kept, %", fontsize=10)
        figure.savefig(path, metadata={"Software": None})


def panel(
    axes: Axes, summary: Values, group: str, styles: dict[str, Style], title: str, few_ticks: bool = False
) -> None:
    retentions = summary["setup"]["retentions"]
    x = [100 * retention for retention in retentions]
    for line in summary["methods"]:
        found = line["groups"][group]
        mean, low, high = ([100 * value for value in found[name]] for name in ("accuracy", "low", "high"))
        if line["name"] == THUMBNAIL:
            _thumbnail(axes, summary, line, mean[0], low[0], high[0])
        if line["name"] == BLIND:
            axes.axhline(mean[0], **_FLOOR)
        if line["name"] not in styles:
            continue
        look = {"linewidth": 1.5, "markersize": 4.5, "zorder": 5, **styles[line["name"]]}
        if few_ticks:
            look["markersize"] *= 0.7
            look["linewidth"] *= 0.8
        axes.fill_between(x, low, high, color=look["color"], alpha=0.13, linewidth=0, zorder=look["zorder"] - 1)
        axes.plot(x, mean, clip_on=False, **look)
    axes.set_xscale("log")
    # Read as one drops: everything kept on the left.
    axes.set_xlim(100 * 1.1, x[-1] * 0.91)
    shown = [value for value in x if not few_ticks or round(value) in (100, 20, 5)]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, 100)
    axes.set_title(title, loc="left", fontsize=10 if few_ticks else 11, fontweight="bold")
    axes.grid(color=_FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _thumbnail(axes: Axes, summary: Values, line: Values, mean: float, low: float, high: float) -> None:
    """One point, at the mean share of tokens that a thumbnail is."""
    everything = summary["methods"][0]["kept"][0]
    x = 100 * line["kept"][0] / everything
    bars = [[mean - low], [high - mean]]
    axes.errorbar([x], [mean], yerr=bars, linestyle="none", capsize=2, elinewidth=1, zorder=6, **_STAR)


def _legend(axes: Axes, summary: Values, styles: dict[str, Style]) -> None:
    labels = {line["name"]: line["label"] for line in summary["methods"]}
    handles = [
        Line2D([], [], label=labels[name], **{"linewidth": 1.5, "markersize": 4.5, **look})
        for name, look in styles.items()
        if name in labels
    ]
    for name, look in ((THUMBNAIL, {"linestyle": "none", **_STAR}), (BLIND, _FLOOR)):
        if name in labels:
            handles.append(Line2D([], [], label=labels[name], **look))
    axes.legend(handles=handles, loc="lower left", fontsize=9, framealpha=0.9, edgecolor="none")
