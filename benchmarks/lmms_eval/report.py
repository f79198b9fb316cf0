"""The page: each task's metric by retention, its share of the whole, and what was kept for it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.accuracy.report import percent, signed, table
from benchmarks.accuracy.summary import OVERALL, Values

from .yardstick import LITERATURE, TOKENS, WHOLE


def render(summary: Values, picture: str) -> str:
    """Markdown of everything measured; ``picture`` is the plot's address."""
    setup = summary["setup"]
    questions = setup["questions"]
    counts = ", ".join(f"{count} of {task}" for task, count in questions.items() if task != OVERALL)
    level = f"{setup['bootstrap']['level']:.0%}"
    heads = [percent(retention) for retention in setup["retentions"]]
    limit = (
        "" if setup["limit"] is None else f" (the first {setup['limit']} of each: for trying out, not for the record)"
    )
    parts = [
        f"{questions[OVERALL]} documents ({counts}){limit}, model `{setup['model']}`, lmms-eval {setup['lmms_eval']}, "
        f"over OpenAI's API. Brackets are {level} intervals of a bootstrap over documents "
        f"({setup['bootstrap']['draws']} draws), the same draws at every retention; behind ± is lmms-eval's own "
        "standard error, where documents have no score of their own.",
        f"![Share of the full accuracy against retention]({picture})",
        "## Share of the full accuracy",
        "Of the task's metric with all tokens, in percent; their mean is over tasks.",
        table(["% at retention", *heads], _shares(summary)),
        *_literature(summary),
        "## By task",
        table(["metric at retention", *heads], [[_name(task), *_values(task)] for task in summary["tasks"]]),
        "With all tokens minus with fewer, paired, in the metric's own points. Bold: the interval leaves out 0.",
        table(["lost at retention", *heads[1:]], [[_name(task), *_losses(task)] for task in summary["tasks"]]),
        "## Visual tokens",
        "Mean of a prompt; newlines come on top.",
        table(
            ["tokens kept at retention", *heads], [[task["name"], *_tokens(task["kept"])] for task in summary["tasks"]]
        ),
    ]
    return "\n\n".join(parts)


def _shares(summary: Values) -> list[list[str]]:
    groups = summary["methods"][0]["groups"]
    return [["mean" if name == OVERALL else name, *_bounded(group)] for name, group in groups.items()]


def _bounded(group: Values) -> list[str]:
    cells = []
    for mean, low, high in zip(group["accuracy"], group["low"], group["high"], strict=True):
        bounds = "" if low is None or high is None else f" [{low * 100:.1f}, {high * 100:.1f}]"
        cells.append("none" if mean is None else f"{mean * 100:.1f}{bounds}")
    return cells


def _name(task: Values) -> str:
    return f"{task['name']}, {task['metric'].removesuffix(',none')}"


def scale(task: Values) -> float:
    """Shares are told in percent; what is in points already stays as it is."""
    return 100.0 if max(map(abs, task["value"])) <= 1 else 1.0


def _values(task: Values) -> list[str]:
    times, cells = scale(task), []
    for at, value in enumerate(task["value"]):
        error = task["stderr"][at]
        if "low" in task:
            behind = f" [{task['low'][at] * times:.1f}, {task['high'][at] * times:.1f}]"
        else:
            behind = "" if error is None else f" ± {error * times:.1f}"
        cells.append(f"{value * times:.1f}{behind}")
    return cells


def _losses(task: Values) -> list[str]:
    if "loss" not in task:
        return ["not known" for _ in task["value"][1:]]
    to_shares = scale(task) / 100
    each = zip(task["loss"][1:], task["loss_low"][1:], task["loss_high"][1:], strict=True)
    return [signed(*(value * to_shares for value in values)) for values in each]


def _tokens(kept: Sequence[float]) -> list[str]:
    return [f"{count:.1f}" for count in kept]


def _literature(summary: Values) -> list[str]:
    if not summary["setup"]["yardstick"]:
        return []
    rows = [[line.method, *(f"{share:g}" if share else "" for share in line.shares)] for line in LITERATURE]
    heads = ["reported, %", *(f"{tokens} of {WHOLE} ({tokens / WHOLE:.1%})" for tokens in TOKENS)]
    return [
        "What others report of LLaVA-NeXT-7B, each with a protocol and tasks of its own:",
        table(heads, rows),
    ]
