"""The time that all panels of a picture share, and what stands out in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from benchmarks.boards import palette

Panel = Mapping[str, Any]
# Left of a plot, for what its values are called.
MARGIN = 82
_NARROW = 400


@dataclass(frozen=True)
class Shown:
    """Args:
    seconds: the time shown.
    marks: when something was done, by its number.
    alerts: when alerts fired, from and to.
    """

    seconds: float
    marks: Mapping[int, float]
    alerts: Sequence[tuple[float, float]]

    def along(self, axes: Axes) -> None:
        """The time axis, with marks and alerts."""
        axes.set_xlim(0, self.seconds)
        axes.set_xticks(range(0, int(self.seconds) + 1, 120 if axes.get_window_extent().width < _NARROW else 60))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value // 60:.0f} min"))
        for start, end in self.alerts:
            axes.axvspan(start, end, 0, 0.025, color=palette.ALERT, linewidth=0)
            axes.axvline(start, color=palette.ALERT, linestyle=(0, (3, 3)), linewidth=0.9)
        across = axes.get_xaxis_transform()
        for number, moment in self.marks.items():
            axes.axvline(moment, color=palette.FAINT, linestyle=(0, (1, 3)), linewidth=0.9)
            axes.text(moment, 1.0, f" {number}", transform=across, color=palette.FAINT, fontsize=7, va="top")
