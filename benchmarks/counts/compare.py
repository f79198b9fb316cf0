"""Which counts have changed."""

from __future__ import annotations

from collections.abc import Iterator

# By request, and by what is counted.
Costs = dict[str, dict[str, int]]

# Of bytes, a share and a few: numbers of seconds and of connections are written in them.
_SHARE, _FEW = 0.01, 64


def grown(costs: Costs, expected: Costs, *, operators: bool) -> list[str]:
    """A line for each count above what is expected, and for each request and count that nothing is expected of.

    Args:
        costs, expected: counted now, and before.
        operators: compare those of torch too.
    """
    return [line for now, before, line in _pairs(costs, expected, operators) if now > before]


def shrunk(costs: Costs, expected: Costs, *, operators: bool) -> list[str]:
    """A line for each count below what is expected; see ``grown``."""
    return [line for now, before, line in _pairs(costs, expected, operators) if now < before]


def _pairs(costs: Costs, expected: Costs, operators: bool) -> Iterator[tuple[int, int, str]]:
    for request in sorted(costs.keys() | expected.keys()):
        ours, theirs = costs.get(request, {}), expected.get(request, {})
        for name in sorted(ours.keys() | theirs.keys()):
            if name.startswith("operators") and not operators:
                continue
            now, before = ours.get(name, 0), theirs.get(name, 0)
            slack = max(_SHARE * before, _FEW) if name.startswith("bytes") else 0
            if abs(now - before) > slack:
                yield now, before, f"{request}: {name} {before} -> {now}"
