"""What was measured, as Markdown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from benchmarks.census import PARTS
from benchmarks.growth.point import Point

_WORDS = ("requests/s", "ms: median", "fastest", "95%", "core-ms a request", "cores busy", "kB a reply", "kB of Redis")


def gathered(values: dict[str, Any]) -> dict[tuple[str, int], list[Point]]:
    """Points of a piece by kind and place, one a round, kinds in the order of the first round."""
    found: dict[tuple[str, int], list[Point]] = defaultdict(list)
    for each in values["rounds"]:
        for point in map(Point.of, each):
            found[point.kind, point.x].append(point)
    return dict(found)


def told(name: str, values: dict[str, Any]) -> Iterator[str]:
    """A table, and what bounds each kind. Of several rounds: medians, with the lowest and the highest rate."""
    found = gathered(values)
    yield f"\n### {name}\n"
    yield f"| {values['grows']} | | {' | '.join(_WORDS)} | tiles a pass |"
    yield f"| ---: | --- |{' ---: |' * (len(_WORDS) + 1)}"
    for (kind, x), points in found.items():
        rates = sorted(point.rate for point in points)
        rate = f"{median(rates):.3g}" + (f" ({rates[0]:.3g} to {rates[-1]:.3g})" if len(rates) > 1 else "")
        cells = [rate, *(f"{median(point.ms[at] for point in points):.1f}" for at in (1, 0, 2))]
        cells.append(f"{median(sum(point.cores.values()) for point in points):.1f}")
        cells.append(f"{median(point.busy for point in points):.2f}")
        cells.append(f"{median(point.reply_bytes for point in points) / 1e3:.0f}")
        cells.append(f"{median(point.redis['in'] + point.redis['out'] for point in points) / 1e3:.0f}")
        cells.append(f"{median(point.pass_tiles for point in points):.1f}")
        yield f"| {x} | {kind} | {' | '.join(cells)} |"
    yield ""
    for kind in dict.fromkeys(kind for kind, _ in found):
        yield f"- {bound(kind, [points for (other, _), points in found.items() if other == kind], values)}"


def bound(kind: str, places: Sequence[Sequence[Point]], values: dict[str, Any]) -> str:
    """A sentence: whose the time is, where it has grown most."""
    first, last = places[0], places[-1]
    parts = {part: median(point.cores.get(part, 0.0) for point in last) for part in PARTS}
    whole = sum(parts.values()) or 1.0
    most, second = sorted(parts, key=lambda part: -parts[part])[:2]
    times = median(point.rate for point in last) / median(point.rate for point in first)
    busy, cores = median(point.busy for point in last), values["machine"]["cores"]
    return (
        f"{kind}: from {first[0].x} to {last[0].x} {values['grows']} the rate is {times:.2g} times as high; at "
        f"{last[0].x} {busy:.1f} of {cores} cores are busy, {parts[most] / whole:.0%} of that {most}, "
        f"{parts[second] / whole:.0%} {second}"
    )
