"""Kubernetes' view of the Prometheus rules and Grafana dashboards, from the files that docker compose uses.

python -m scripts.monitoring            writes it
python -m scripts.monitoring --check    fails when it is stale
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "deploy/prometheus/rules"
GRAFANA = ROOT / "deploy/grafana"
_HEADER = "# Written by `python -m scripts.monitoring` from {source}: don't edit.\n"


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
            for path in sorted(GRAFANA.glob("dashboards/*.json"))
        ],
    }
    return _HEADER.format(source="dashboards/*.json") + _dump(kustomization)


def generated() -> dict[Path, str]:
    """Every file this script writes, with its content."""
    return {
        ROOT / "deploy/kubernetes/components/monitoring/prometheus-rule.yaml": prometheus_rule(),
        GRAFANA / "kustomization.yaml": dashboards(),
    }


class _Dumper(yaml.SafeDumper):
    """Several lines as a block, so that an expression reads here as it does in its own file."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _dump(content: dict[str, Any]) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is stale")
    check = parser.parse_args().check
    for path, content in generated().items():
        if not check:
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            sys.exit(f"{path.relative_to(ROOT)} is stale: run `python -m scripts.monitoring`")


if __name__ == "__main__":
    main()
