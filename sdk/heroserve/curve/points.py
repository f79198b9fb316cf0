"""The curve: at every retention what was kept, and how much of it was answered right."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from heroserve.curve.bootstrap import LEAST_PICTURES, LEVEL, draws, interval


@dataclass(frozen=True)
class Row:
    """A question that was asked at every retention, each in the same order.

    Args:
        picture: which it is about.
        right: whether each answer was.
        kept: visual tokens of each.
        total: visual tokens there were.
    """

    picture: Hashable
    right: tuple[bool, ...]
    kept: tuple[int, ...]
    total: int


@dataclass(frozen=True)
class Point:
    """One retention.

    Args:
        retention: that was asked for.
        kept: visual tokens of a question, on average.
        right, low, high: share of right answers, and what its interval is, 0 to 1.
        change, change_low, change_high: `right` less that of the first point, paired.
    """

    retention: float
    kept: float
    right: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float


@dataclass(frozen=True)
class Curve:
    """Points, the highest retention first.

    Args:
        points: at least one.
        questions: that were answered at every retention; the others do not count.
        left_out: those others.
        pictures: that they are about.
        total: visual tokens of a question, on average, if all were kept.
    """

    points: tuple[Point, ...]
    questions: int
    left_out: int
    pictures: int
    total: float

    @property
    def drawn(self) -> str:
        """What the bootstrap drew."""
        return "pictures" if self.pictures >= LEAST_PICTURES else "questions"

    def to_dict(self) -> dict[str, Any]:
        """In JSON's values."""
        fields = asdict(self)
        return {**fields, "points": list(fields["points"]), "drawn": self.drawn, "level": LEVEL}


def measure(rows: Sequence[Row], retentions: Sequence[float], left_out: int = 0) -> Curve:
    """The curve of `rows`, at least one; `retentions` are those of each row, in its order."""
    columns = [[float(row.right[at]) for row in rows] for at in range(len(retentions))]
    resampled = draws(columns, [row.picture for row in rows])
    points = []
    for at, retention in enumerate(retentions):
        right, first = _mean(columns[at]), _mean(columns[0])
        low, high = interval(resampled[at])
        paired = [value - other for value, other in zip(resampled[at], resampled[0], strict=True)]
        kept = _mean([row.kept[at] for row in rows])
        points.append(Point(retention, kept, right, low, high, right - first, *interval(paired)))
    pictures = len({row.picture for row in rows})
    return Curve(tuple(points), len(rows), left_out, pictures, _mean([row.total for row in rows]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
