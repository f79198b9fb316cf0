"""A whole dashboard as one figure, on Grafana's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.boards import palette, panels
from benchmarks.boards.answers import Series, answers, firing
from benchmarks.boards.area import Area
from benchmarks.boards.recording import Recording
from benchmarks.boards.shown import Shown
from benchmarks.boards.variables import Window, values
from scripts.prometheus import Api

Board = Mapping[str, Any]
_WIDTH, _DPI, _GAP = 1280, 100, 8
_COLUMNS, _ROW = 24, 38
_HEAD, _LINE = 62, 18
_NOT_GRAFANA = "drawn by benchmarks/boards from recorded answers of Prometheus; not Grafana"


def page(board: Board, recording: Recording, api: Api) -> Figure:
    """Every panel in its place.

    Raises:
        LookupError, QueryError, UnknownUnit: something of the dashboard is not known here, or not to Prometheus.
    """
    window = Window(recording.start, recording.end, recording.every_s)
    chosen = values(board, window, api)
    alerts = firing(board, chosen, window, api)
    marks = {number: event.at_s for number, event in enumerate(recording.events, start=1)}
    shown = Shown(window.end - window.start, marks, [(one.times[0], one.times[-1]) for one in alerts])
    told = _told(recording, alerts)
    head = _HEAD + _LINE * len(told)
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    height = head + rows * _ROW + _GAP
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(_WIDTH / _DPI, height / _DPI), dpi=_DPI, facecolor=palette.PAGE)
        whole = Area(figure, 0, 0, _WIDTH, height)
        whole.write(_GAP + 4, 18, board["title"], 17, weight="bold")
        whole.write(_WIDTH - _GAP - 4, 18, _NOT_GRAFANA, 11, palette.FAINT, ha="right")
        whole.write(_GAP + 4, 42, board["description"], 12, palette.FAINT)
        for number, line in enumerate(told):
            whole.write(_GAP + 4, 62 + _LINE * number, line, 11, palette.FAINT)
        column = (_WIDTH - _GAP) / _COLUMNS
        for panel in board["panels"]:
            place = panel["gridPos"]
            area = Area(
                figure,
                _GAP + place["x"] * column,
                head + place["y"] * _ROW,
                place["w"] * column - _GAP,
                place["h"] * _ROW - _GAP,
            )
            panels.draw(panel, answers(panel, chosen, window, api), area, shown)
    return figure


def _told(recording: Recording, alerts: Sequence[Series]) -> list[str]:
    """What was done meanwhile, by the numbers that stand in panels, and which alerts fired."""
    words = [f"{number}: {event.words}" for number, event in enumerate(recording.events, start=1)]
    half = -(-len(words) // 2)
    lines = ["    ".join(part) for part in (words[:half], words[half:]) if part]
    if alerts:
        lines.append("red: alerts fire (" + ", ".join(sorted({alert.legend for alert in alerts})) + ")")
    return lines
