"""What is made of a load's outcomes: numbers, and a page of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from heroserve.cli.bench.outcome import Outcome
from heroserve.cli.messages import saved
from heroserve.cli.output import console
from heroserve.savings import Savings

_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """For JSON. Rates are over the time from the first request to the last end; times are those of whole answers."""
    answered = [outcome for outcome in outcomes if outcome.answered]
    began = min((outcome.began_s for outcome in outcomes), default=0.0)
    elapsed_s = max((outcome.ended_s for outcome in outcomes), default=0.0) - began
    errors: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        if not outcome.answered:
            errors.setdefault(outcome.status, {"count": 0, "message": outcome.problem})["count"] += 1
    tokens = sum(outcome.tokens for outcome in answered)
    savings = sum((outcome.savings for outcome in answered), Savings())
    return {
        "requests": {"sent": len(outcomes), "answered": len(answered), "failed": len(outcomes) - len(answered)},
        "elapsed_s": round(elapsed_s, 6),
        "requests_per_s": _rate(len(answered), elapsed_s),
        "tokens_per_s": _rate(tokens, elapsed_s),
        "tokens": tokens,
        "time_to_first_token_s": times(
            [outcome.first_s - outcome.began_s for outcome in answered if outcome.first_s is not None]
        ),
        "empty_answers": sum(outcome.first_s is None for outcome in answered),
        "answer_s": times([outcome.ended_s - outcome.began_s for outcome in answered]),
        "visual_tokens": {"total": savings.total, "kept": savings.kept, "dropped": savings.dropped},
        "saved": {"prefill_flops": savings.prefill_flops, "kv_cache_bytes": savings.kv_cache_bytes},
        "errors": errors,
    }


def times(seconds: Sequence[float]) -> dict[str, float] | None:
    """Mean, percentiles (the least time that so many were done in) and the longest; None of nothing."""
    if not seconds:
        return None
    found = sorted(seconds)
    ranks = {name: found[math.ceil(share * len(found)) - 1] for name, share in _SHARES.items()}
    told = {"mean": sum(found) / len(found), **ranks, "max": found[-1]}
    return {name: round(value, 6) for name, value in told.items()}


def show(told: dict[str, Any], head: Sequence[str]) -> None:
    """On stdout, for people."""
    out = console()
    requests = told["requests"]
    for line in head:
        out.print(line)
    out.print(
        f"{requests['answered']} of {requests['sent']} answered in {told['elapsed_s']:.1f} s · "
        f"{told['requests_per_s']:.2f} requests a second · {told['tokens_per_s']:.1f} tokens a second"
    )
    columns = ("mean", *_SHARES, "max")
    table = Table("milliseconds", *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, key in (("first token", "time_to_first_token_s"), ("whole answer", "answer_s")):
        row = told[key] or {}
        table.add_row(name, *(f"{1000 * row[column]:.0f}" if row else "-" for column in columns))
    out.print(table)
    if empty := told["empty_answers"]:
        out.print(f"{empty} answers have no words, and so no first token; --question asks what the model knows")
    visual = told["visual_tokens"]
    if visual["total"]:
        out.print(f"{saved(Savings(**visual))}, of all answers together")
    for status, error in told["errors"].items():
        out.print(f"{error['count']} times {status}: {error['message']}")


def _rate(count: int, elapsed_s: float) -> float:
    return round(count / elapsed_s, 6) if elapsed_s > 0 else 0.0
