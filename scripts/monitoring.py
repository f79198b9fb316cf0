"""Kubernetes' view of the Prometheus rules and Grafana dashboards, from what docker compose reads.

``scripts.generate`` writes it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from deploy.grafana import boards

RULES = Path(__file__).resolve().parents[1] / "deploy/prometheus/rules"
_HEADER = "# Written by `python -m scripts.generate monitoring` from {source}: don't edit.\n"


def files() -> dict[str, bytes]:
    return {
        "deploy/kubernetes/components/monitoring/prometheus-rule.yaml": prometheus_rule().encode(),
        "deploy/grafana/kustomization.yaml": dashboards().encode(),
    }


def prometheus_rule() -> str:
    """The PrometheusRule with every group of ``deploy/prometheus/rules``."""
    groups = [group for path in sorted(RULES.glob("*.yaml")) for group in yaml.safe_load(path.read_text())["groups"]]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "heroserve"},
        "spec": {"groups": groups},
    }
    return _HEADER.format(source="deploy/prometheus/rules/*.yaml") + _dump(rule)


def dashboards() -> str:
    """The kustomization that makes a ConfigMap of each dashboard; beside them, for kustomize reads nothing else."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "generatorOptions": {
            "disableNameSuffixHash": True,
            # By which Grafana's sidecar finds them.
            "labels": {"grafana_dashboard": "1"},
        },
        "configMapGenerator": [
            {"name": f"grafana-dashboard-{path.stem}", "files": [f"dashboards/{path.name}"]}
            for path in sorted(map(PurePosixPath, boards.files()))
        ],
    }
    return _HEADER.format(source="dashboards/*.json") + _dump(kustomization)


class _Dumper(yaml.SafeDumper):
    """Several lines as a block, so that an expression reads here as it does in its own file."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _dump(content: dict[str, Any]) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text
