"""Values of JSON, read alike by the service's door and off the lines of a batch; each refuses in its own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# The error of a field that holds this value, and must be that.
Wrong = Callable[[str, object, str], Exception]


def mapping(field: str, value: object, wrong: Wrong) -> dict[str, Any]:
    """Null is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(field, value, "an object")
    return value


def integral(value: object) -> object:
    """5.0 is a whole number, as some languages write it; what else it is stays."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def whole(field: str, value: object, low: int, high: int, wrong: Wrong) -> int:
    """A whole number in [low, high]."""
    value = integral(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(field, value, f"a whole number from {low} to {high}")
    return value
