"""Numbers as Grafana writes them, in the units that our dashboards have."""

from __future__ import annotations

import math
from collections.abc import Callable

_COUNTS = ("", "K", "M", "B", "T")
_SHORT = ("", " K", " Mil", " Bil", " Tri", " Quadr")
_SI = ("", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
# (from so many seconds on, what is one, its name)
_TIMES = (
    (86400.0, 86400.0, "days"),
    (3600.0, 3600.0, "hours"),
    (60.0, 60.0, "mins"),
    (1.0, 1.0, "s"),
    (1e-3, 1e-3, "ms"),
    (1e-6, 1e-6, "µs"),
    (0.0, 1e-9, "ns"),
)


class UnknownUnit(ValueError):
    """No dashboard had it so far."""


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """One number.

    Args:
        value: in the unit that Grafana's id names: of ``percentunit`` 1 is all, of ``s`` a second.
        unit: Grafana's id.
        decimals: digits behind the point; as many as it takes to tell if not told.

    Raises:
        UnknownUnit: it is none of those.
    """
    write = _writer(unit)
    return "NaN" if math.isnan(value) else write(value, decimals)


def grain(value: float, unit: str) -> float:
    """What a number of about this size is told in: 1024 of kibibytes, 60 of minutes. Round ticks are round of that."""
    if unit in ("bytes", "binBps"):
        return 1024.0 ** (math.log2(value) // 10 if value >= 1 else 0)
    if unit == "s" and value > 0:
        return next(one for least, one, _ in _TIMES if value >= least)
    return 1.0


def _writer(unit: str) -> Callable[[float, int | None], str]:
    kind, colon, symbol = unit.partition(":")
    if colon and kind == "count":
        return lambda value, decimals: _scaled(value, decimals, 1000, _COUNTS, f" {symbol}")
    if colon and kind == "si":
        return lambda value, decimals: _scaled(value, decimals, 1000, tuple(f" {p}{symbol}" for p in _SI), "")
    if unit in _WRITERS:
        return _WRITERS[unit]
    raise UnknownUnit(
        f"{unit!r} is a unit that pictures of dashboards do not have yet: add it to benchmarks/boards/units.py"
    )


def _scaled(value: float, decimals: int | None, factor: float, names: tuple[str, ...], symbol: str) -> str:
    steps = 0
    while abs(value) >= factor and steps < len(names) - 1:
        value /= factor
        steps += 1
    return f"{_fixed(value, decimals)}{names[steps]}{symbol}"


def _time(value: float, decimals: int | None) -> str:
    if value == 0:
        return "0 s"
    one, name = next((one, name) for least, one, name in _TIMES if abs(value) >= least)
    return f"{_fixed(value / one, decimals)} {name}"


def _fixed(value: float, decimals: int | None) -> str:
    if decimals is None:
        # Three that tell something at most.
        decimals = 0 if value == int(value) else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


_WRITERS: dict[str, Callable[[float, int | None], str]] = {
    "locale": lambda value, decimals: f"{value:,.{decimals or 0}f}",
    "short": lambda value, decimals: _scaled(value, decimals, 1000, _SHORT, ""),
    "percentunit": lambda value, decimals: f"{_fixed(value * 100, decimals)}%",
    "s": _time,
    "reqps": lambda value, decimals: _scaled(value, decimals, 1000, _COUNTS, " req/s"),
    "cps": lambda value, decimals: _scaled(value, decimals, 1000, _COUNTS, " c/s"),
    "flops": lambda value, decimals: _scaled(value, decimals, 1000, tuple(f" {p}FLOPS" for p in _SI), ""),
    "bytes": lambda value, decimals: _scaled(value, decimals, 1024, tuple(f" {p}B" for p in _BINARY), ""),
    "Bps": lambda value, decimals: _scaled(value, decimals, 1000, tuple(f" {p}B/s" for p in _SI), ""),
    "binBps": lambda value, decimals: _scaled(value, decimals, 1024, tuple(f" {p}B/s" for p in _BINARY), ""),
    "currencyUSD": lambda value, decimals: f"${_scaled(value, decimals, 1000, _COUNTS, '')}",
}
