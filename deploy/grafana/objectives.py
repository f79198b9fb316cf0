"""Objectives: are they kept, and how fast is what may fail used up."""

from __future__ import annotations

from pathlib import Path

import yaml

from deploy.grafana.dashboard import Dashboard
from deploy.grafana.panel import FAILED, NEUTRAL, Panel, Query
from deploy.grafana.promql import INSTALLATION, SHOWN

_RULES = yaml.safe_load((Path(__file__).parents[1] / "prometheus/rules/objectives.yaml").read_text())
# By the name of an objective, the share of requests that it is about.
_SHARES = {
    rule["labels"]["slo"]: float(rule["expr"].removeprefix("vector(").removesuffix(")"))
    for rule in next(group["rules"] for group in _RULES["groups"] if group["name"] == "heroserve-objectives")
}
_MONTH_S = 30 * 24 * 3600
_OF = "{{slo}}, {{application}}"


def _sum(record: str, slo: str = "") -> str:
    matchers = f'slo="{slo}", {INSTALLATION}' if slo else INSTALLATION
    return f"sum_over_time({record}:rate5m{{{matchers}}}[{SHOWN}])"


def _kept(title: str, description: str, slo: str) -> Panel:
    """The share of requests that were good; the worse of the two views where there are two."""
    bad, total = _sum("heroserve:slo_bad", slo), _sum("heroserve:slo_total", slo)
    return Panel(
        title,
        f"{description} Red below the objective, {_SHARES[slo] * 100:g}%.",
        (Query(f"min by (application) (1 - {bad} / ({total} > 0))", "{{application}}"),),
        unit="percentunit",
        kind="stat",
        steps=((None, FAILED), (_SHARES[slo], "green")),
        decimals=2,
        width=6,
    )


def _burn(window: str, words: str, limit: float, consequence: str) -> Panel:
    rate = f"heroserve:slo_burn_rate:{window}{{{INSTALLATION}}}"
    return Panel(
        f"Budget burn, {words}",
        f"How many times faster than allowed: 1 uses the budget up in just 30 days. Above {limit:g}, and "
        f"lately still, {consequence}. Bad requests / requests / (1 - objective), over {words}.",
        (Query(f"max by (slo, application) ({rate})", _OF),),
        steps=((None, NEUTRAL), (limit, FAILED)),
        many=True,
    )


DASHBOARD = Dashboard(
    "heroserve-objectives",
    "heroserve: objectives",
    "Are the objectives kept, and how much of what may fail is left? They stand in "
    "deploy/prometheus/rules/objectives.yaml.",
    "",
    (
        _kept(
            "Requests answered",
            "Share over the time shown; what callers did wrong is not counted.",
            "availability",
        ),
        _kept(
            "First tokens in time",
            "Share of answers over the time shown that began within 10 s.",
            "first_token",
        ),
        _kept(
            "Answers in time",
            "Share over the time shown that ended in time: 60 s for an answer (llm), 5 s for an image's tokens "
            "(encoder).",
            "answer_time",
        ),
        Panel(
            "Budget used",
            "Share of 30 days' budget that the time shown has used up, of the objective that is worst off: bad "
            "requests / requests / (1 - objective) x time shown / 30 days.",
            (
                Query(
                    f"max({_sum('heroserve:slo_bad')} / ({_sum('heroserve:slo_total')} > 0)"
                    " / on (slo) group_left () (1 - heroserve:objective:ratio))"
                    f" * $__range_s / {_MONTH_S}"
                ),
            ),
            unit="percentunit",
            kind="stat",
            steps=((None, "green"), (0.1, "yellow"), (0.5, FAILED)),
            decimals=1,
            width=6,
        ),
        _burn("1h", "one hour", 14.4, "somebody is woken"),
        _burn("6h", "six hours", 6, "somebody is woken"),
        _burn("1d", "one day", 3, "there is a ticket"),
        _burn("3d", "three days", 1, "there is a ticket"),
        Panel(
            "Bad requests",
            "A second: failed (availability), begun too late (first_token), ended too late (answer_time).",
            (Query(f"max by (slo, application) (heroserve:slo_bad:rate5m{{{INSTALLATION}}})", _OF),),
            unit="reqps",
            many=True,
        ),
    ),
)
