"""How panels look: Grafana's JSON of what differs by a series' legend, and of what all panels of a kind have."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def color(legend: str, name: str) -> Json:
    """The series of that legend in a colour of Grafana's."""
    return {
        "matcher": {"id": "byName", "options": legend},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": name}}],
    }


def dashed(legends: str) -> Json:
    """Those whose legend a regular expression is in, as a line that is none of what there was."""
    return {
        "matcher": {"id": "byRegexp", "options": f"/{legends}/"},
        "properties": [
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}},
            {"id": "custom.fillOpacity", "value": 0},
        ],
    }


OPTIONS: dict[str, Json] = {
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
        "justifyMode": "center",
    },
    "timeseries": {
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "heatmap": {
        "calculate": False,
        "yAxis": {"unit": "percentunit", "axisPlacement": "left"},
        "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": True},
        "rowsFrame": {"layout": "le"},
    },
}
