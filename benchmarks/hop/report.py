"""Rounds as a table, and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.census import REST
from benchmarks.hop.rounds import Round

Pairs = Sequence[tuple[Round, Round]]
_HEAD = (
    "request",
    "median ms",
    "p95 ms",
    "times its echo",
    "requests/s",
    "CPU ms: proxy",
    "replicas",
    "redis",
    "ray",
    "requests/s a core",
)
# Of the columns of processor time.
_PARTS = (("proxy",), ("chat", "ingress", "decoders", "tower", "echo"), ("Redis",), (REST,))


def table(found: Mapping[str, Pairs]) -> str:
    """A row for ours and one for its echo: medians of the rounds; of what is compared the lowest and the highest."""
    lines = [f"| {' | '.join(_HEAD)} |", f"| {' | '.join('---' for _ in _HEAD)} |"]
    for name, pairs in found.items():
        ratios = _spread([ours.median_ms / echo.median_ms for ours, echo in pairs], 2)
        for side, what, ratio in ((0, name, ratios), (1, "its echo", "")):
            rounds = [pair[side] for pair in pairs]
            cells = [
                what,
                _spread([one.median_ms for one in rounds], 1),
                f"{_middle(rounds, lambda one: one.p95_ms):.1f}",
                ratio,
                f"{_middle(rounds, lambda one: one.a_second):.0f}",
                *(
                    f"{_middle(rounds, lambda one, parts=parts: one.cpu_ms(*parts)):.1f}"  # type: ignore[misc]
                    for parts in _PARTS
                ),
                _spread([one.a_core for one in rounds], 0),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json(found: Mapping[str, Pairs]) -> dict[str, Any]:
    """By request and side each round's numbers."""
    return {
        name: {side: [_numbers(pair[index]) for pair in pairs] for index, side in enumerate(("ours", "echo"))}
        for name, pairs in found.items()
    }


def _numbers(one: Round) -> dict[str, Any]:
    return {
        "at_once": one.at_once,
        "requests": len(one.seconds),
        "median_ms": one.median_ms,
        "p95_ms": one.p95_ms,
        "requests_a_second": one.a_second,
        "requests_a_core": one.a_core,
        "cpu_ms": {kind: one.cpu_ms(kind) for kind in one.cpu},
    }


def _middle(rounds: Sequence[Round], number: Callable[[Round], float]) -> float:
    return statistics.median(map(number, rounds))


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
