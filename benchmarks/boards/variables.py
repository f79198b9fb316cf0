"""A dashboard's variables, as Grafana puts them into expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.prometheus import Api

# Not $1, which is what a part of a regular expression has found.
_NAMED = re.compile(r"\$(?:\{([a-z_]\w*)\}|([a-z_]\w*))")
_LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Window:
    """The time that a dashboard shows.

    Args:
        start, end: in seconds since 1970.
        every_s: between scrapes; no finer are points that are drawn.
    """

    start: float
    end: float
    every_s: int

    @property
    def rate_interval_s(self) -> int:
        """What a rate is of: four scrapes."""
        return 4 * self.every_s

    @property
    def variables(self) -> dict[str, str]:
        shown = round(self.end - self.start)
        return {
            "__interval": f"{self.every_s}s",
            "__rate_interval": f"{self.rate_interval_s}s",
            "__range": f"{shown}s",
            "__range_s": str(shown),
        }


def resolved(words: str, values: Mapping[str, str]) -> str:
    """An expression or a title with its variables put in.

    Raises:
        KeyError: it names one that there is not.
    """
    return _NAMED.sub(lambda match: values[match[1] or match[2]], words)


def values(board: Mapping[str, Any], window: Window, api: Api) -> dict[str, str]:
    """What each variable has when the dashboard is opened: the first of those with labels, what is typed in at first.

    Raises:
        LookupError: no series has the label that is to be chosen from.
    """
    chosen = window.variables
    for variable in board["templating"]["list"]:
        name, kind = variable["name"], variable["type"]
        if kind == "textbox":
            chosen[name] = str(variable["current"]["value"])
        elif kind == "query":
            offered = _offered(variable["definition"], chosen, window, api)
            if not offered:
                raise LookupError(f"{board['uid']}: nothing to choose for ${name}: {variable['definition']}")
            chosen[name] = variable["allValue"] if variable["includeAll"] else offered[0]
        elif kind != "datasource":
            raise LookupError(f"{board['uid']}: ${name} is a {kind}, which pictures of dashboards do not have yet")
    return chosen


def _offered(definition: str, chosen: Mapping[str, str], window: Window, api: Api) -> list[str]:
    asked = _LABEL_VALUES.fullmatch(definition)
    if asked is None:
        raise LookupError(f"{definition}: only label_values(SERIES, LABEL) is known here")
    found: list[str] = api.get(
        f"label/{asked['label']}/values",
        **{"match[]": resolved(asked["series"], chosen), "start": str(window.start), "end": str(window.end)},
    )
    return sorted(found)
