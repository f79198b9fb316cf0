"""What can be told of PromQL without a parser: the series that an expression reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.prometheus import ROOT, rules

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
_SELECTOR = re.compile(r"\b((?:heroserve[:_]|vllm:|ray_|redis_|kube_|DCGM_|up\b)[\w:]*)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
# The longer ones first.
_VARIABLES = {
    "$__rate_interval": "1m",
    "$__range_s": "300",
    "$__range": "5m",
    "$instance": ".*",
    # As the checked-in configuration calls them.
    "$cluster": "compose",
    "$namespace": "heroserve",
    "$gpu_price": "3.00",
    "$gpu_tflops": "400",
}
# Whose values tell of failures: that there was none is no reason to complain.
_OUTCOMES = {"code", "status_code", "result"}


@dataclass(frozen=True)
class Selector:
    """A metric and the labels an expression expects of it."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]

    def probes(self) -> list[str]:
        """Expressions that have samples if there is such a metric, with such labels and such values."""
        probes = [self.metric]
        for label, operator, value in self.matchers:
            if operator == "=" and value and label not in _OUTCOMES:
                probes.append(f'{self.metric}{{{label}="{value}"}}')
            else:
                probes.append(f'{self.metric}{{{label}!=""}}')
        return probes


def selectors(expr: str) -> set[Selector]:
    return {Selector(metric, tuple(_MATCHER.findall(labels))) for metric, labels in _SELECTOR.findall(expr)}


def panels() -> dict[str, str]:
    """Expression of every query of every panel, by a name for people."""
    found = {}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{path.stem} / {panel['title']} / {target['refId']}"] = target["expr"]
    return found


def filled(expr: str) -> str:
    """A panel's expression as Grafana would send it, over minutes."""
    for variable, value in _VARIABLES.items():
        expr = expr.replace(variable, value)
    return expr


def everything() -> dict[str, str]:
    """Every expression that there is: panels' and rules'."""
    named = {rule.get("record") or rule["alert"]: rule["expr"] for rule in rules()}
    return {**{name: filled(expr) for name, expr in panels().items()}, **named}


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
