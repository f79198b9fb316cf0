"""The picture: the share of the full accuracy against retention, over all tasks and small below it each."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.accuracy.methods import HERO
from benchmarks.accuracy.plot import RULES, panel
from benchmarks.accuracy.summary import OVERALL, Values

from .yardstick import LITERATURE, TOKENS, WHOLE

_ROW = 4
_MARKS = ("s", "^", "D", "v", "X", "P")


def draw(summary: Values, path: Path) -> None:
    """One large panel, and one small one a task where there are several."""
    setup = summary["setup"]
    tasks = [task["name"] for task in summary["tasks"]]
    rows = -(-len(tasks) // _ROW) if len(tasks) > 1 else 0
    with mpl.rc_context({"font.size": 10}):
        figure = Figure(figsize=(9, 4.6 + 2.4 * rows), layout=ConstrainedLayoutEngine(w_pad=0.12), dpi=150)
        heights = [1.9, *([rows] if rows else [])]
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        large = parts[0].subplots()
        title = "Mean over tasks" if rows else tasks[0]
        drawn = _drawable(summary)
        panel(large, drawn, OVERALL, {HERO: RULES[HERO]}, title)
        large.set_ylabel("share of the full accuracy, %")
        large.set_xlabel("visual tokens kept, % (log scale)")
        if setup["yardstick"]:
            at = [100 * tokens / WHOLE for tokens in TOKENS]
            for line, mark in zip(LITERATURE, _MARKS, strict=True):
                shares = [float("nan") if share is None else share for share in line.shares]
                large.plot(at, shares, mark, color="#777777", markersize=5, label=f"{line.method}, reported")
            large.legend(loc="lower left", fontsize=8)
        small = parts[1].subplots(rows, min(_ROW, len(tasks)), sharey=True, squeeze=False).flat if rows else []
        for axes, task in zip(small, tasks, strict=False):
            panel(axes, drawn, task, {HERO: RULES[HERO]}, f"{task} ({setup['questions'][task]})", few_ticks=True)
        for axes in figure.axes[1 + len(tasks) if rows else 1 :]:
            axes.set_visible(False)
        means = [
            mean for group in summary["methods"][0]["groups"].values() for mean in group["accuracy"] if mean is not None
        ]
        for axes in figure.axes:
            axes.set_ylim(100 * max(0.0, min([*means, 0.85]) - 0.05), 100 * max([*means, 1.0]) + 3)
        figure.savefig(path, metadata={"Software": None})


def _drawable(summary: Values) -> Values:
    """With what is no number left out of the lines."""

    def numbers(values: list[float | None]) -> list[float]:
        return [float("nan") if value is None else value for value in values]

    lines = [
        {
            **line,
            "groups": {
                name: {key: numbers(each) for key, each in group.items()} for name, group in line["groups"].items()
            },
        }
        for line in summary["methods"]
    ]
    return {**summary, "methods": lines}
