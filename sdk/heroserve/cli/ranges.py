"""Numbers of an option, within their range, of what was typed."""

from __future__ import annotations

import math
from collections.abc import Callable

import typer

from heroserve.cli.told import one_line


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`, of what was typed."""

    def parse(text: str) -> int:
        try:
            value = int(text) if _plain(text) else None
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise typer.BadParameter(f"is {written(text)}; it must be a whole number from {low} to {high}")
        return value

    return parse


def real(low: float, high: float, *, above: bool = False) -> Callable[[str], float]:
    """A finite number from `low`, or from `above` it, to `high`, of what was typed."""
    start = f"above {low:g}" if above else f"at least {low:g}"
    words = f"{start}, and finite" if math.isinf(high) else f"{start} and at most {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text) if _plain(text) else math.nan
        except ValueError:
            value = math.nan
        within = low < value <= high if above else low <= value <= high  # NaN is not
        if not within or math.isinf(value):
            raise typer.BadParameter(f"is {written(text)}; it must be a number {words}")
        return value

    return parse


def written(text: str) -> str:
    """What was typed, as a message shows it; where that is nothing, it says so."""
    return one_line(text, 60) or "empty"


def _plain(text: str) -> bool:
    """Python reads 1_0 and other scripts' digits as numbers too, which nobody means here."""
    typed = str(text)  # a default is a number already
    return typed.isascii() and "_" not in typed
