"""What how-to pages repeat from elsewhere is what stands there."""

from __future__ import annotations

import json
import re

from tests.support.manifests import ROOT


def test_a_budgets_accuracies_are_those_that_were_measured():
    measured = json.loads((ROOT / "docs/accuracy.json").read_text())
    (hero,) = (method["groups"] for method in measured["methods"] if method["name"] == "hero")
    page = (ROOT / "docs/how-to/choose-a-budget.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+)% \| ([\d.]+)% \|", page, re.MULTILINE)
    assert len(rows) == 5
    for retention, overall, pair in rows:
        at = measured["setup"]["retentions"].index(float(retention))
        told = [f"{100 * hero[group]['accuracy'][at]:.1f}" for group in ("overall", "pair")]
        assert told == [overall, pair]
