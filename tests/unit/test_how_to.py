"""What how-to pages repeat from elsewhere is what stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from scripts.stack import Ports, Stack
from scripts.stack.page import page
from scripts.stack.shell import Shell
from services.common.ingress.http_body import MAX_BODY_BYTES
from tests.support.manifests import ROOT


def test_a_budgets_accuracies_are_those_that_were_measured():
    measured = json.loads((ROOT / "docs/accuracy.json").read_text())
    (hero,) = (method["groups"] for method in measured["methods"] if method["name"] == "hero")
    text = (ROOT / "docs/how-to/choose-a-budget.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+)% \| ([\d.]+)% \|", text, re.MULTILINE)
    assert len(rows) == 5
    for retention, overall, pair in rows:
        at = measured["setup"]["retentions"].index(float(retention))
        told = [f"{100 * hero[group]['accuracy'][at]:.1f}" for group in ("overall", "pair")]
        assert told == [overall, pair]


def test_how_long_a_body_may_be_is_what_holds():
    for name in ("docs/how-to/openai-clients.md", "docs/operations.md"):
        assert f"{MAX_BODY_BYTES} bytes" in (ROOT / name).read_text(), name
    assert f"more than {MAX_BODY_BYTES >> 20} MiB" in (ROOT / "docs/how-to/openai-clients.md").read_text()
    # What a proxy in front takes is no less.
    (proxy,) = re.findall(r"client_max_body_size (\d+)m", (ROOT / "docs/operations.md").read_text())
    assert 0 <= (int(proxy) << 20) - MAX_BODY_BYTES < 1 << 20


def test_the_tutorial_shows_what_a_start_prints(tmp_path: Path):
    text = (ROOT / "docs/tutorial.md").read_text()
    (sample,) = re.findall(r"```text\n(llm  .*?)```", text, re.DOTALL)
    printed = page(Stack(Ports(), tmp_path), Shell.read({})).replace(str(tmp_path), "/tmp/heroserve-…")
    assert (
        sample.rstrip().splitlines()
        == re.sub(r"(?m)^(try +)\S+ ask", r"\1.venv/bin/heroserve ask", printed).splitlines()
    )
