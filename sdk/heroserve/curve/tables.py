"""The curve in words and numbers: Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, fields

from heroserve.curve.points import Curve, Point


def markdown(curve: Curve) -> str:
    """A table, and below it what it counts."""
    first = f"{curve.points[0].retention:g}"
    lines = [
        f"| retention | visual tokens | dropped | right | 95% interval | against {first} |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for at, point in enumerate(curve.points):
        dropped = f"{1 - point.kept / curve.total:.1%}" if curve.total else ""
        change = (
            f"{100 * point.change:+.1f} ({100 * point.change_low:+.1f} to {100 * point.change_high:+.1f})" if at else ""
        )
        lines.append(
            f"| {point.retention:g} | {point.kept:.1f} | {dropped} | {point.right:.1%} | "
            f"{point.low:.1%} to {point.high:.1%} | {change} |"
        )
    return "\n".join([*lines, "", notes(curve), ""])


def notes(curve: Curve) -> str:
    """What the numbers count."""
    text = f"{_many(curve.questions, 'question')} about {_many(curve.pictures, 'picture')}"
    if curve.left_out:
        text += f"; {_many(curve.left_out, 'other')} left out, without an answer at every retention"
    return f"{text}. Intervals: bootstrap over {curve.drawn}."


def as_csv(curve: Curve) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, [field.name for field in fields(Point)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, curve.points))
    return file.getvalue()


def as_json(curve: Curve) -> str:
    return json.dumps(curve.to_dict(), indent=2) + "\n"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
