"""What one of each costs, by least squares over a sweep of tiles: what ``scripts.capacity`` reckons with."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from benchmarks.growth.kinds import ANSWERS_KNOWN, KNOWN, NEW, TALKED_ABOUT
from benchmarks.growth.point import Point
from benchmarks.growth.tables import gathered
from scripts.capacity.costs import Costs, Sizes, work

# What the calculator calls the ingress.
INGRESS = ("proxy", "ingress", "decoders")
# Parts that do the work; callers are not ours, and the rest of Ray goes on without requests.
SERVING = (*INGRESS, "tower", "Redis", "chat")


def fitted(values: dict[str, Any]) -> Costs:
    """Of the piece ``tiles``, by its core-time. Its requests have no language model: those costs are 0."""
    found = gathered(values)
    new = [points for (kind, _), points in found.items() if kind == NEW]
    known = [points for (kind, _), points in found.items() if kind == KNOWN]
    tiles = [points[0].x + 1 for points in new]
    sent = [median(point.reply_bytes for point in points) for points in known]
    moved = [median(_moved(point) for point in points) for points in known]
    ingress, ingress_byte = _line(sent, [core_s(points, *INGRESS) for points in known])
    more = [core_s(one, *INGRESS) - core_s(other, *INGRESS) for one, other in zip(new, known, strict=True)]
    picture, cut = _line(tiles, more)
    redis, redis_byte = _line(moved, [core_s(points, "Redis") for points in known])
    return Costs(
        tile_s=_slope(tiles, [core_s(points, "tower") for points in new]),
        ingress_s=ingress,
        ingress_byte_s=ingress_byte,
        picture_s=picture,
        cut_s=cut,
        chat_s=0.0,
        prompt_s=0.0,
        answer_s=0.0,
        redis_s=redis,
        redis_byte_s=redis_byte,
    )


def options(costs: Costs) -> str:
    """Those of ``scripts.capacity`` that say so."""
    told = {
        "ingress-ms": 1e3 * costs.ingress_s,
        "ingress-mb-ms": 1e9 * costs.ingress_byte_s,
        "picture-ms": 1e3 * costs.picture_s,
        "cut-ms": 1e3 * costs.cut_s,
        "redis-ms": 1e3 * costs.redis_s,
        "redis-mb-ms": 1e9 * costs.redis_byte_s,
    }
    return " ".join(f"--{name} {value:.3g}" for name, value in told.items())


def core_s(points: Sequence[Point], *parts: str) -> float:
    """Core-seconds of a request in these parts."""
    return median(sum(point.cores.get(part, 0.0) for part in parts) for point in points) / 1e3


def _moved(point: Point) -> float:
    return point.redis["in"] + point.redis["out"]


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Where it begins and how it rises, neither of them below 0: what falls with size is noise."""
    slope, start = np.polyfit(x, y, 1)
    if slope < 0:
        return float(np.mean(y)), 0.0
    return (float(start), float(slope)) if start > 0 else (0.0, _slope(x, y))


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of a line through 0."""
    return float(np.dot(x, y) / np.dot(x, x))


def sizes_at(values: dict[str, Any], tiles: int) -> Sizes:
    """Bytes of an image of so many local tiles, as the piece ``tiles`` has seen them."""
    found = gathered(values)
    new, known = found[NEW, tiles], found[KNOWN, tiles]
    return Sizes(
        tiles=tiles + 1,
        image_bytes=0.0,  # to the tower and back: nobody's core is charged by it
        sent_bytes=median(point.reply_bytes for point in known),
        entry_bytes=median(_moved(point) for point in new),
        read_bytes=median(_moved(point) for point in known),
    )


def answer_s(answers: dict[str, Any], tiles: dict[str, Any]) -> float:
    """Core-seconds of an answer about a known image of four local tiles beyond what the encoder takes for it."""
    encoder = work(fitted(tiles), sizes_at(tiles, TALKED_ABOUT), encodes=0.0).total
    return core_s(gathered(answers)[ANSWERS_KNOWN, 0], *SERVING) - encoder
