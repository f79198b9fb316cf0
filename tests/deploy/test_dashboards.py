"""The dashboards' JSON: complete, and laid out without gaps in what a reader needs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.support.promql import DASHBOARDS

BOARDS = [json.loads(path.read_text()) for path in DASHBOARDS]
PANELS = [pytest.param(panel, id=f"{board['uid']}-{panel['title']}") for board in BOARDS for panel in board["panels"]]
# The Prometheus data source's own words, and what Grafana writes beside a variable's query.
_MORE = {f"annotations.list.{key}" for key in ("titleFormat", "textFormat", "tagKeys", "step")} | {
    "templating.list.definition"
}

# Makes the SDK look into panels and targets, too.
register_default_plugins()


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_grafana_knows_every_key(board: dict):
    """By the types that Grafana publishes of its own JSON: what they don't know is gone when they write it again."""
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert _lost(board, again) - _MORE == set()
    typed = {**board, "panels": [{**board["panels"][0], "titel": "Replicas"}]}
    assert "panels.titel" in _lost(typed, json.loads(JSONEncoder().encode(Dashboard.from_json(typed))))


def test_there_are_eight():
    names = ("savings", "cost", "objectives", "encoder", "llm", "engine", "refusals", "capacity")
    assert {board["uid"] for board in BOARDS} == {f"heroserve-{name}" for name in names}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_a_dashboard(board: dict):
    assert len(board["panels"]) <= 14
    assert board["time"] == {"from": "now-1h", "to": "now"}
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables)[:3] == ["datasource", "cluster", "namespace"]
    # What is added up is one installation's.
    assert not any(variables[name]["multi"] or variables[name]["includeAll"] for name in ("cluster", "namespace"))
    told = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    # Each is used, and nothing else is asked for.
    asked = set(re.findall(r"\$([a-z_]\w*)", told)) - {"__rate_interval", "__range", "__range_s"}
    assert asked == variables.keys() - {"datasource"}
    top = [panel for panel in board["panels"] if panel["gridPos"]["y"] == 0]
    assert {panel["type"] for panel in top} == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in top) == 24
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel(panel: dict):
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert panel["type"] == "stat" or target["legendFormat"], "a legend must not be a list of labels"
        # A dashboard's window follows its zoom; a fixed one would not.
        assert set(re.findall(r"\[([^\]]+)\]", target["expr"])) <= {"$__rate_interval", "$__range"}


@pytest.mark.parametrize("panel", PANELS)
def test_a_coloured_legend_exists(panel: dict):
    legends = {target["legendFormat"] for target in panel["targets"]}
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        exact = {"byName": re.escape(matcher["options"]), "byRegexp": matcher["options"].strip("/")}[matcher["id"]]
        assert any(re.search(exact, legend) or "{{" in legend for legend in legends)


def _lost(before: Any, after: Any, path: tuple[str, ...] = ()) -> set[str]:
    """Where ``after`` does not say what ``before`` does; lists have no numbers in it."""
    if isinstance(before, dict) and isinstance(after, dict):
        gone = {".".join((*path, key)) for key in before.keys() - after.keys()}
        return gone.union(*(_lost(before[key], after[key], (*path, key)) for key in before.keys() & after.keys()))
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return set().union(*(_lost(old, new, path) for old, new in zip(before, after, strict=True)))
    return set() if before == after else {".".join(path)}


def test_percentiles_have_no_mean():
    for panel in (panel.values[0] for panel in PANELS):
        if any("histogram_quantile" in target["expr"] for target in panel["targets"]) and panel["type"] == "timeseries":
            assert "mean" not in panel["options"]["legend"]["calcs"], panel["title"]


def test_a_count_of_what_seldom_is_has_no_fractions():
    """increase() makes some, of whatever it counts."""
    for panel in (panel.values[0] for panel in PANELS):
        if re.fullmatch(r"sum\(increase\(.+\)\) or vector\(0\)", panel["targets"][0]["expr"]):
            defaults = panel["fieldConfig"]["defaults"]
            assert (defaults["unit"], defaults["decimals"]) == ("locale", 0), panel["title"]
