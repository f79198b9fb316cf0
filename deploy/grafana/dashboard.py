"""A dashboard: its panels in rows, its variables, and Grafana's JSON for it."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.grafana.panel import DATASOURCE, Json, Panel

_COLUMNS = 24


@dataclass(frozen=True)
class Dashboard:
    """One dashboard.

    Args:
        uid: what links point to; also the file's name.
        title, description: shown in Grafana.
        jobs: regular expression of the scrape jobs whose instances can be chosen.
        panels: in reading order, the stat tiles first.
    """

    uid: str
    title: str
    description: str
    jobs: str
    panels: tuple[Panel, ...]

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
            "templating": {"list": [_SOURCE, self._instance()]},
            "annotations": {"list": [_ALERTS]},
            "panels": self._placed(),
        }

    def _instance(self) -> Json:
        query = f'label_values(up{{job=~"{self.jobs}"}}, instance)'
        return {
            "name": "instance",
            "label": "Instance",
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"qryType": 1, "query": query, "refId": "instances"},
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }

    def _placed(self) -> list[Json]:
        """Panels from left to right, a new row where one would not fit."""
        placed: list[Json] = []
        x = y = height = 0
        for number, panel in enumerate(self.panels, start=1):
            if x + panel.width > _COLUMNS:
                x, y, height = 0, y + height, 0
            placed.append(panel.json(number, x, y))
            x, height = x + panel.width, max(height, panel.height)
        return placed


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
    "includeVars": False,
    "keepTime": True,
}
_ALERTS: Json = {
    "name": "Alerts",
    "datasource": DATASOURCE,
    "enable": True,
    "iconColor": "red",
    "expr": 'ALERTS{alertname=~"Heroserve.+", alertstate="firing"}',
    "titleFormat": "{{alertname}}",
    "textFormat": "{{application}} {{severity}}",
    "step": "60s",
}
