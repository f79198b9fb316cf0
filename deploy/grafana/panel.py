"""A panel: what it asks, how it looks, and Grafana's JSON for both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deploy.grafana import looks
from deploy.grafana.looks import Json

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

# (from this value on, colour); the first holds from the bottom.
Steps = tuple[tuple[float | None, str], ...]

# A colour means one thing on every dashboard. Grafana's names, so that light and dark themes both work.
KEPT, DROPPED = "blue", "green"
HIT, MISS, FAILED = "green", "orange", "red"
NEUTRAL = "super-light-blue"

# Grafana's own `cps` says c/s, of whatever it counts.
TOKENS_A_SECOND, KEYS_A_SECOND, A_SECOND = "count:tok/s", "count:keys/s", "count:/s"
# A number that counts something: increase() makes fractions of it, which nobody has seen.
COUNT = "locale"


@dataclass(frozen=True)
class Query:
    """PromQL and the legend of what it returns."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Args:
        title, description: the description says what a reader should conclude.
        queries: what is drawn.
        unit: Grafana's id of a unit.
        kind: of panel.
        colors: by legend, where a colour has a meaning.
        dashed: regular expression of legends that are a bound or an aim: drawn as that, and not filled.
        steps: thresholds; of a stat they colour the value, of a time series they are lines.
        stack: draw series on top of each other.
        maximum: of the axis, where it is known.
        decimals: digits behind the point.
        many: series, so that the legend stands beside them: below it has room for four.
        nothing: what a panel without a series says.
        width: of 24 columns.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["stat", "timeseries", "heatmap"] = "timeseries"
    colors: dict[str, str] = field(default_factory=dict)
    dashed: str = ""
    steps: Steps = ()
    stack: bool = False
    maximum: float | None = None
    decimals: int | None = None
    many: bool = False
    nothing: str = "no data"
    width: int = 12

    @property
    def height(self) -> int:
        return 4 if self.kind == "stat" else 8

    def json(self, number: int, x: int, y: int) -> Json:
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [self._target(query, chr(ord("A") + i)) for i, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": self._overrides()},
            "options": {"legend": self._legend(), **looks.OPTIONS[self.kind]}
            if self.kind == "timeseries"
            else looks.OPTIONS[self.kind],
        }

    def _target(self, query: Query, ref: str) -> Json:
        stat, heatmap = self.kind == "stat", self.kind == "heatmap"
        return {
            "refId": ref,
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": "{{le}}" if heatmap else query.legend,
            "instant": stat,
            "range": not stat,
            "format": "heatmap" if heatmap else "time_series",
        }

    def _overrides(self) -> list[Json]:
        return [
            *(looks.color(*pair) for pair in self.colors.items()),
            *([looks.dashed(self.dashed)] if self.dashed else []),
        ]

    def _legend(self) -> Json:
        # A mean of percentiles is none of anything.
        percentiles = any("histogram_quantile" in query.expr for query in self.queries)
        calcs = ["max", "lastNotNull"] if percentiles else ["mean", "max", "lastNotNull"]
        return {
            "displayMode": "table",
            "placement": "right" if self.many else "bottom",
            "showLegend": True,
            # Beside it, more would take the plot's room.
            "calcs": ["max"] if self.many else calcs,
        }

    def _defaults(self) -> Json:
        defaults: Json = {"unit": self.unit, "min": 0, "color": {"mode": "palette-classic"}, "noValue": self.nothing}
        if self.kind == "stat":
            defaults["color"] = {"mode": "thresholds"}
        steps = self.steps or ((None, NEUTRAL),)
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in steps],
        }
        if self.kind == "timeseries":
            defaults["custom"] = {
                "drawStyle": "line",
                "lineWidth": 1,
                "fillOpacity": 40 if self.stack else 8,
                "showPoints": "never",
                "spanNulls": 60_000,
                "stacking": {"mode": "normal" if self.stack else "none", "group": "A"},
                "thresholdsStyle": {"mode": "dashed" if self.steps else "off"},
            }
        if self.maximum is not None:
            defaults["max"] = self.maximum
        if self.decimals is not None:
            defaults["decimals"] = self.decimals
        return defaults
