"""How sure a share is: the percentile bootstrap over pictures.

Questions about one picture are not independent of each other, so pictures are drawn, with all of their questions. Every
column is of the same draws, so that the difference of two is paired.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

LEVEL = 0.95
# Where there are fewer pictures, questions are drawn: of three pictures an interval would tell nothing.
LEAST_PICTURES = 10
_MOST_DRAWS, _LEAST_DRAWS = 2000, 200
_MOST_SUMMED = 20_000_000


def draws(columns: Sequence[Sequence[float]], clusters: Sequence[Hashable], seed: int = 0) -> list[list[float]]:
    """Of each column the mean of each draw: [columns][draws].

    Args:
        columns: [columns][questions].
        clusters: [questions], which picture each is about.
        seed: of the draws.
    """
    order = {name: at for at, name in enumerate(dict.fromkeys(clusters))}
    if len(order) < LEAST_PICTURES:
        place, count = list(range(len(clusters))), len(clusters)
    else:
        place, count = [order[name] for name in clusters], len(order)
    asked = [0] * count
    sums = [[0.0] * count for _ in columns]
    for question, cluster in enumerate(place):
        asked[cluster] += 1
        for column, values in zip(sums, columns, strict=True):
            column[cluster] += values[question]
    rng = random.Random(seed)  # noqa: S311 - a statistic, and the same at every run
    times = max(_LEAST_DRAWS, min(_MOST_DRAWS, _MOST_SUMMED // (count * (len(columns) + 1))))
    found: list[list[float]] = [[] for _ in columns]
    for _ in range(times):
        drawn = rng.choices(range(count), k=count)
        questions = sum(map(asked.__getitem__, drawn))
        for means, column in zip(found, sums, strict=True):
            means.append(sum(map(column.__getitem__, drawn)) / questions)
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """What `LEVEL` of the values lie within."""
    ordered = sorted(values)
    edge = (1 - LEVEL) / 2
    return _quantile(ordered, edge), _quantile(ordered, 1 - edge)


def _quantile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
