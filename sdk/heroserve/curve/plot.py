"""The curve as a picture: SVG, which browsers and documents show, and which nothing need be installed to write."""

from __future__ import annotations

import math

from heroserve.curve.points import Curve, Point
from heroserve.curve.tables import notes

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 56, 84
_INK, _FAINT, _LINE = "#333333", "#dddddd", "#0072b2"


def svg(curve: Curve) -> str:
    """Right answers, from 0 to 100%, over visual tokens kept, on a logarithmic scale; intervals as bars."""
    # From few to many, whatever the order; two retentions of so few tokens may keep the same.
    points = sorted(curve.points, key=lambda point: point.kept)
    low, high = (max(each.kept, 0.5) for each in (points[0], points[-1]))
    span = math.log(high / low)

    def x(point: Point) -> float:
        share = math.log(max(point.kept, 0.5) / low) / span if span > 0 else 0.5
        return _LEFT + 24 + share * (_WIDTH - _LEFT - _RIGHT - 48)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}">',
        f"<title>Right answers against visual tokens kept: {_told(points)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 28, "Right answers against visual tokens kept", "start", 'font-size="16" font-weight="bold"'),
    ]
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_FAINT}"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{percent}%", "end"))
    line = " ".join(f"{x(point):.1f},{_y(point.right):.1f}" for point in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    for point in points:
        parts += _point(point, x(point))
    parts.append(
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 34, "visual tokens kept (retention), log scale", "middle")
    )
    parts.append(_text(_LEFT, _HEIGHT - 10, notes(curve), "start", 'font-size="11" fill="#666666"'))
    return "\n".join([*parts, "</svg>", ""])


def _point(point: Point, x: float) -> list[str]:
    below = _HEIGHT - _BOTTOM + 18
    return [
        f'<path d="M{x:.1f} {_y(point.low):.1f}V{_y(point.high):.1f}" stroke="{_LINE}" stroke-width="2" opacity=".5"/>',
        f'<circle cx="{x:.1f}" cy="{_y(point.right):.1f}" r="4" fill="{_LINE}"/>',
        _text(x, _y(point.high) - 8, f"{point.right:.1%}", "middle"),
        _text(x, below, f"{point.kept:.0f} ({point.retention:g})", "middle"),
    ]


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    """`text` is ours, and has none of XML's own characters."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{text}</text>'


def _told(points: list[Point]) -> str:
    return ", ".join(f"{point.right:.1%} with {point.kept:.0f}" for point in points)
