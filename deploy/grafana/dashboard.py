"""A dashboard: its panels in rows, its variables, and Grafana's JSON for it."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.grafana.looks import Json
from deploy.grafana.panel import DATASOURCE, Panel
from deploy.grafana.promql import INSTALLATION

_COLUMNS = 24


@dataclass(frozen=True)
class Dashboard:
    """One dashboard.

    Args:
        uid: what links point to; also the file's name.
        title, description: shown in Grafana.
        jobs: regular expression of the scrape jobs whose instances can be chosen; "" where that means nothing.
        panels: in reading order, the stat tiles first.
        numbers: variables that a reader types in: name, label, value at first.
    """

    uid: str
    title: str
    description: str
    jobs: str
    panels: tuple[Panel, ...]
    numbers: tuple[tuple[str, str, str], ...] = ()

    def json(self) -> Json:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["heroserve"],
            "schemaVersion": 39,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "links": [_OTHERS],
            "templating": {"list": self._variables()},
            "annotations": {"list": [_ALERTS]},
            "panels": self._placed(),
        }

    def _variables(self) -> list[Json]:
        instances = [_labels("instance", "Instance", f'job=~"{self.jobs}", {INSTALLATION}')] if self.jobs else []
        for variable in instances:
            everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
            variable.update(multi=True, includeAll=True, allValue=".*", current=everything)
        # What is added up is one installation's, so of these one is chosen.
        cluster = _labels("cluster", "Cluster", 'job=~"heroserve-.+"')
        namespace = _labels("namespace", "Namespace", 'job=~"heroserve-.+", cluster="$cluster"')
        return [_SOURCE, cluster, namespace, *instances, *(_number(*number) for number in self.numbers)]

    def _placed(self) -> list[Json]:
        """Panels from left to right, a new row where one would not fit; alone in the last row, one has all of it."""
        placed: list[Json] = []
        x = y = height = 0
        for number, panel in enumerate(self.panels, start=1):
            if x + panel.width > _COLUMNS:
                x, y, height = 0, y + height, 0
            placed.append(panel.json(number, x, y))
            x, height = x + panel.width, max(height, panel.height)
        if placed[-1]["gridPos"]["x"] == 0:
            placed[-1]["gridPos"]["w"] = _COLUMNS
        return placed


def _labels(name: str, label: str, matchers: str) -> Json:
    """A variable with the values that a label of scraped targets has."""
    query = f"label_values(up{{{matchers}}}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": query, "refId": f"{name}s"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": False,
    }


def _number(name: str, label: str, value: str) -> Json:
    chosen = {"selected": True, "text": value, "value": value}
    return {"name": name, "label": label, "type": "textbox", "query": value, "current": chosen, "options": [chosen]}


_SOURCE: Json = {
    "name": "datasource",
    "label": "Prometheus",
    "type": "datasource",
    "query": "prometheus",
    "current": {},
}
_OTHERS: Json = {
    "title": "heroserve",
    "type": "dashboards",
    "tags": ["heroserve"],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
}
_ALERTS: Json = {
    "name": "Alerts",
    "datasource": DATASOURCE,
    "enable": True,
    "iconColor": "red",
    "expr": f'ALERTS{{alertname=~"Heroserve.+", alertstate="firing", {INSTALLATION}}}',
    "titleFormat": "{{alertname}}",
    "textFormat": "{{severity}}",
    # Not every alert is an application's; as a word of the text it would be told by its name then.
    "tagKeys": "application",
    "step": "60s",
}
