"""The table of a panel's series: their names and a number or two of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.boards import palette
from benchmarks.boards.answers import Series
from benchmarks.boards.area import Area
from benchmarks.boards.units import text

_ROW, _COLUMN = 18, 84
# Pixels, at the size of its words.
_LETTER, _CAPITAL = 6.3, 8.2
# Grafana gives a legend no more; what has no room is scrolled to.
_SHARE_BELOW, _SHARE_BESIDE = 0.35, 0.5
_CALCS: Mapping[str, tuple[str, Callable[[Series], float]]] = {
    "mean": ("Mean", lambda series: series.mean),
    "max": ("Max", lambda series: series.largest),
    "lastNotNull": ("Last *", lambda series: series.last),
}


@dataclass(frozen=True)
class Legend:
    panel: Mapping[str, Any]
    series: Sequence[Series]
    colors: Sequence[str]

    def beside(self, area: Area) -> Area:
        """What is left for the plot."""
        return area.inside(0, 0, *self._size(area))

    def draw(self, area: Area) -> None:
        right, bottom = self._size(area)
        place = area.inside(area.width - right, 0, 0, 0) if right else area.inside(0, area.height - bottom, 0, 0)
        calcs = [_CALCS[name] for name in self.panel["options"]["legend"]["calcs"]]
        defaults = self.panel["fieldConfig"]["defaults"]
        first = place.width - 14 - _COLUMN * (len(calcs) - 1)
        rows = min(len(self.series), int(place.height / _ROW) - 1)
        place.write(14, _ROW / 2, "Name", 11, palette.FAINT)
        for column, (name, _) in enumerate(calcs):
            place.write(first + _COLUMN * column, _ROW / 2, name, 11, palette.FAINT, ha="right")
        for row in range(rows):
            series, y = self.series[row], _ROW * (row + 1.5)
            place.write(14, y, "\N{EM DASH}", 13, self.colors[row], weight="bold")
            place.write(32, y, series.legend, 11)
            for column, (_, reduce) in enumerate(calcs):
                number = text(reduce(series), defaults["unit"], defaults.get("decimals"))
                place.write(first + _COLUMN * column, y, number, 11, ha="right")
        if rows < len(self.series):
            place.write(32, place.height - 5, f"{len(self.series) - rows} more below", 10, palette.FAINT)

    def _size(self, area: Area) -> tuple[float, float]:
        """Of its right side and its lower one; one of them is 0."""
        if self.panel["options"]["legend"]["placement"] == "right":
            names = max(sum(_CAPITAL if c.isupper() else _LETTER for c in one.legend) for one in self.series)
            columns = _COLUMN * len(self.panel["options"]["legend"]["calcs"])
            return min(area.width * _SHARE_BESIDE, 32 + names + columns), 0
        return 0, min(area.height * _SHARE_BELOW, _ROW * (len(self.series) + 1) + 4)
