"""Several installations on one Prometheus: none hides what befalls another, and every alert says whose it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import FOLDER, promtool, rules
from tests.support.promql import panels

TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
# But the one whose own test, two weeks long, has three of them.
ALERTS = sorted({rule["alert"] for rule in rules() if "alert" in rule} - {"HeroserveNoTraffic"})
PRODUCTION = {"cluster": "east", "namespace": "production"}
STAGING = {"cluster": "east", "namespace": "staging"}
# The same name elsewhere.
WEST = {"cluster": "west", "namespace": "production"}
_KEPT = "cluster, namespace"
_PREFIXES = r"heroserve[:_]|vllm:|ray_|redis_|up\b|DCGM_"


def test_production_is_down_while_staging_and_another_cluster_are_up(tmp_path: Path):
    """By names that resolve to nothing, which leave nothing behind, and however long ago staging was last down."""
    up = [
        {"series": _labelled(f'up{{job="heroserve-{service}", instance="a"}}', labels), "values": values}
        for service in ("encoder", "llm")
        for labels, values in ((PRODUCTION, "1x30 stale"), (STAGING, "1x5 0x5 1x1500"), (WEST, "1x1500"))
    ]
    runbook = "https://github.com/heroserve/heroserve/blob/main/docs/operations.md#heroserveservicedown"
    expected = [
        {
            "exp_labels": {**PRODUCTION, "application": service, "severity": "critical"},
            "exp_annotations": {"summary": f"No node of {service} can be scraped", "runbook_url": runbook},
        }
        for service in ("encoder", "llm")
    ]
    cases = [{"alertname": "HeroserveServiceDown", "eval_time": at, "exp_alerts": expected} for at in ("40m", "1400m")]
    # A day later it is taken for meant.
    cases += [{"alertname": "HeroserveServiceDown", "eval_time": at, "exp_alerts": []} for at in ("29m", "1480m")]
    test = {"name": "two of three", "interval": "1m", "input_series": up, "alert_rule_test": cases}
    _promtool(tmp_path, [test], evaluation_interval="5m")


def test_one_service_that_never_came_up_is_missed_for_as_long_as_the_other_is_there(tmp_path: Path):
    up = [
        {"series": _labelled('up{job="heroserve-llm", instance="a"}', PRODUCTION), "values": "1x3000"},
        {"series": _labelled('up{job="heroserve-encoder", instance="a"}', STAGING), "values": "1x3000"},
        {"series": _labelled('up{job="heroserve-llm", instance="a"}', STAGING), "values": "1x3000"},
    ]
    case = {"expr": 'ALERTS{alertstate="firing"}', "eval_time": "2900m"}
    firing = {**PRODUCTION, "alertname": "HeroserveServiceDown", "application": "encoder"}
    labels = ", ".join(f'{name}="{value}"' for name, value in firing.items())
    sample = {"labels": f'ALERTS{{alertstate="firing", severity="critical", {labels}}}', "value": 1}
    _promtool(
        tmp_path,
        [{"interval": "1m", "input_series": up, "promql_expr_test": [{**case, "exp_samples": [sample]}]}],
        evaluation_interval="10m",
    )


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_of_one_installation(alert: str, tmp_path: Path):
    """Each fires for the one that its own test makes suffer, whatever a test that leaves it quiet has beside it."""
    path, suffering, case = _firing(alert)
    quiet = [test for other in TESTS for test in _tests(other) if _never(test, alert)]
    beside = next(test for test in quiet if test["interval"] == suffering["interval"])
    whose = [{**one, "exp_labels": {**one["exp_labels"], **PRODUCTION}} for one in case["exp_alerts"]]
    test = {
        "interval": suffering["interval"],
        "input_series": [*_of(suffering, PRODUCTION), *_of(beside, STAGING), *_of(beside, WEST)],
        "alert_rule_test": [{**case, "exp_alerts": whose}],
    }
    _promtool(tmp_path, [test], evaluation_interval=yaml.safe_load(path.read_text())["evaluation_interval"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("record") or rule["alert"])
def test_no_rule_adds_installations_up(rule: dict):
    """Whatever aggregates or matches names both labels, but what is a constant."""
    _check(rule["expr"])


@pytest.mark.parametrize("name", sorted(panels()))
def test_a_panel_is_of_the_installation_that_was_chosen(name: str):
    """Its variables each have one value, so that nothing is added up either."""
    expr = panels()[name]
    for metric, matchers in re.findall(rf"\b((?:{_PREFIXES})[\w:]*)((?:\{{[^}}]*\}})?)", expr):
        if metric != "heroserve:objective:ratio":
            assert 'cluster="$cluster"' in matchers, metric
            assert 'namespace="$namespace"' in matchers, metric


def _check(expr: str) -> None:
    for aggregation in re.findall(r"\b(?:sum|avg|min|max|count|group|topk|stddev|quantile)\b(?! by)\s*\(", expr):
        raise AssertionError(f"{aggregation} of everybody's")
    grouped = re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", expr)
    # Objectives hold for every installation.
    assert all(labels.startswith(_KEPT) or labels == "slo" for labels in grouped), grouped


def _firing(alert: str) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The first test in which it fires for somebody, with its file and that case."""
    return next(
        (path, test, case)
        for path in TESTS
        for test in _tests(path)
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == alert and case["exp_alerts"] and "either service" not in str(case)
    )


def _tests(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load(path.read_text())["tests"]


def _never(test: dict[str, Any], alert: str) -> bool:
    cases = [case for case in test.get("alert_rule_test", []) if case["alertname"] == alert]
    return bool(cases) and not any(case["exp_alerts"] for case in cases)


def _of(test: dict[str, Any], labels: dict[str, str]) -> list[dict[str, Any]]:
    return [{**series, "series": _labelled(series["series"], labels)} for series in test["input_series"]]


def _labelled(series: str, labels: dict[str, str]) -> str:
    told = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    name, brace, rest = series.partition("{")
    return f"{name}{{{told}, {rest}" if brace else f"{name}{{{told}}}"


def _promtool(folder: Path, tests: list[dict[str, Any]], evaluation_interval: str = "1m") -> None:
    order = yaml.safe_load(TESTS[0].read_text())["group_eval_order"]
    path = folder / "test.yaml"
    file = {
        "rule_files": [str(FOLDER / "rules" / f"{name}.yaml") for name in ("recording", "objectives", "alerts")],
        "evaluation_interval": evaluation_interval,
        "group_eval_order": order,
        "tests": tests,
    }
    path.write_text(yaml.safe_dump(file))
    promtool("test", "rules", path)
