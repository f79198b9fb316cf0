"""The configuration and the rules, as promtool sees them, and that every alert is tested and explained."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml
from ray.serve._private.constants import REQUEST_LATENCY_BUCKETS_MS

from deploy.grafana.promql import ERRORS
from services.llm import metrics
from tests.support.prometheus import FOLDER, ROOT, promtool, rules
from tests.support.promql import everything, selectors

TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
ALERTS = [rule for rule in rules() if "alert" in rule]


def test_the_configuration_is_valid_and_finds_the_rules():
    assert "SUCCESS: 3 rule files found" in promtool("check", "config", "prometheus.yaml")


def test_the_rules_are_valid():
    promtool("check", "rules", *sorted((FOLDER / "rules").glob("*.yaml")))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path):
    promtool("test", "rules", path)


def test_every_alert_is_tested_both_ways():
    cases = [case for path in TESTS for test in yaml.safe_load(path.read_text())["tests"] for case in _cases(test)]
    for outcome in (True, False):
        tested = {case["alertname"] for case in cases if bool(case["exp_alerts"]) is outcome}
        assert tested == {rule["alert"] for rule in ALERTS}, f"fires: {outcome}"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_every_alert_has_a_runbook(rule: dict):
    assert rule["labels"]["severity"] in ("critical", "warning")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    home, _, document = page.partition("/blob/main/")
    assert f'\nHomepage = "{home}"\n' in (ROOT / "pyproject.toml").read_text()
    assert anchor == rule["alert"].lower()
    section = re.search(rf"^### {rule['alert']}\n(.+?)(?=^##|\Z)", (ROOT / document).read_text(), re.M | re.S)
    assert section, f"{document} says nothing about {rule['alert']}"
    assert len(section[1].split()) > 20


def test_the_runbook_tells_of_no_other_alert():
    titles = re.findall(r"^### (Heroserve\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.M)
    assert sorted(titles) == sorted({rule["alert"] for rule in ALERTS})


def test_what_is_read_from_ray_is_also_kept():
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    kept = [
        job["metric_relabel_configs"][0]["regex"] for job in config["scrape_configs"] if job["job_name"].endswith("ray")
    ]
    read = {s.metric for expr in everything().values() for s in selectors(expr) if s.metric.startswith("ray_")}
    assert read
    for regex in kept:
        assert {metric for metric in read if not re.fullmatch(regex, metric)} == set()


def test_what_is_read_of_vllm_is_also_kept():
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "heroserve-vllm")
    read = {s.metric for expr in everything().values() for s in selectors(expr) if s.metric.startswith("vllm:")}
    assert read
    assert {metric for metric in read if not re.fullmatch(job["metric_relabel_configs"][0]["regex"], metric)} == set()


def test_rules_read_only_what_is_recorded():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    read = {s.metric for expr in everything().values() for s in selectors(expr) if ":" in s.metric}
    # vLLM's own have one too.
    assert {metric for metric in read if not metric.startswith("vllm:")} <= recorded


def test_rules_and_dashboards_blame_the_service_for_the_same_codes():
    errors = next(rule for rule in rules() if rule.get("record") == "heroserve:errors:rate5m")
    assert f'"{ERRORS}"' in errors["expr"]


def test_a_bound_of_an_objective_is_one_of_its_histograms():
    """Else there is no such bucket, and nothing is ever late."""
    bounds = {
        "heroserve_time_to_first_token_seconds_bucket": metrics.TIME_TO_FIRST_TOKEN._upper_bounds,
        "ray_serve_grpc_request_latency_ms_bucket": [*REQUEST_LATENCY_BUCKETS_MS, math.inf],
        "ray_serve_http_request_latency_ms_bucket": [*REQUEST_LATENCY_BUCKETS_MS, math.inf],
    }
    indicators = [rule for rule in rules() if rule.get("record", "").startswith("heroserve:slo_bad")]
    used = [s for rule in indicators for s in selectors(rule["expr"]) if s.metric.endswith("_bucket")]
    assert {s.metric for s in used} == bounds.keys()
    for selector in used:
        (bound,) = (value for label, _, value in selector.matchers if label == "le")
        assert float(bound) in bounds[selector.metric]


def test_the_objectives_are_those_that_operations_tells():
    """In the table of docs/operations.md, and every indicator has one."""
    table = (ROOT / "docs" / "operations.md").read_text().partition("## Objectives")[2].partition("\n## ")[0]
    objectives = {r["labels"]["slo"]: r["expr"] for r in rules() if r.get("record") == "heroserve:objective:ratio"}
    for name, expr in objectives.items():
        share = float(re.fullmatch(r"vector\((.+)\)", expr)[1])
        assert f"| `{name}` | {share * 100:g}% |" in table
    for record in ("heroserve:slo_total:rate5m", "heroserve:slo_bad:rate5m"):
        assert {r["labels"]["slo"] for r in rules() if r.get("record") == record} == objectives.keys()


def _cases(test: dict) -> list[dict]:
    return test.get("alert_rule_test", [])
