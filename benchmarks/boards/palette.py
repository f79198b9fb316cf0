"""Grafana's colours, on its dark theme."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

PAGE, PANEL, EDGE = "#111217", "#181b1f", "#2c3035"
TEXT, FAINT = "#d5d6dd", "#9092a0"
ALERT = "#f2495c"

_NAMED = {
    "dark-red": "#c4162a",
    "red": "#f2495c",
    "orange": "#ff9830",
    "yellow": "#fade2a",
    "green": "#73bf69",
    "blue": "#5794f2",
    "light-blue": "#8ab8ff",
    "super-light-blue": "#c0d8ff",
    "purple": "#b877d9",
}
# What a series gets by its number, where nobody has said which.
_CLASSIC = (
    "#73bf69",
    "#f2cc0c",
    "#8ab8ff",
    "#ff780a",
    "#f2495c",
    "#5794f2",
    "#b877d9",
    "#705da0",
    "#37872d",
    "#fade2a",
    "#447ebc",
    "#c15c17",
)


def named(color: str) -> str:
    """Raises:
    KeyError: no dashboard had it so far.
    """
    return _NAMED[color]


def overridden(legend: str, overrides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a panel says of a series by its legend, by the names of properties."""
    return {
        each["id"]: each["value"]
        for override in overrides
        if _matches(legend, override["matcher"])
        for each in override["properties"]
    }


def of_series(number: int, own: Mapping[str, Any]) -> str:
    """The colour of one series: what ``overridden`` says, else by its number among all of the panel."""
    return named(own["color"]["fixedColor"]) if "color" in own else _CLASSIC[number % len(_CLASSIC)]


def _matches(legend: str, matcher: Mapping[str, str]) -> bool:
    if matcher["id"] == "byRegexp":
        return re.search(matcher["options"].strip("/"), legend) is not None
    return matcher["options"] == legend


def of_value(value: float, thresholds: Mapping[str, Any]) -> str:
    """The colour of the last step that a value has reached."""
    reached = [step for step in thresholds["steps"] if step["value"] is None or value >= step["value"]]
    return named(reached[-1]["color"])
