"""A piece of a picture, in pixels from its upper left corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from benchmarks.boards import palette


@dataclass(frozen=True)
class Area:
    figure: Figure
    x: float
    y: float
    width: float
    height: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> Area:
        """What is left of it within margins."""
        width, height = self.width - left - right, self.height - top - bottom
        return Area(self.figure, self.x + left, self.y + top, width, height)

    def box(self) -> None:
        """A panel's ground."""
        x, y, width, height = self._place
        frame = FancyBboxPatch(
            (x * self._whole[0], y * self._whole[1]),
            width * self._whole[0],
            height * self._whole[1],
            boxstyle="round,pad=0,rounding_size=3",
            facecolor=palette.PANEL,
            edgecolor=palette.EDGE,
            transform=None,
            zorder=-1,
        )
        self.figure.add_artist(frame)

    def write(self, x: float, y: float, words: str, size: float = 12, color: str = palette.TEXT, **how: Any) -> None:
        """Words at so many pixels from the left and from above; their size in pixels."""
        across, down = (self.x + x) / self._whole[0], 1 - (self.y + y) / self._whole[1]
        how = {"ha": "left", "va": "center", **how}
        self.figure.text(across, down, words, fontsize=size * 72 / self.figure.dpi, color=color, **how)

    def axes(self) -> Axes:
        """A plot that fills it."""
        axes = self.figure.add_axes(self._place, facecolor=palette.PANEL)
        axes.tick_params(colors=palette.FAINT, labelsize=10 * 72 / self.figure.dpi, length=0, pad=4)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    @property
    def _whole(self) -> tuple[float, float]:
        width, height = self.figure.get_size_inches() * self.figure.dpi
        return width, height

    @property
    def _place(self) -> tuple[float, float, float, float]:
        width, height = self._whole
        return self.x / width, 1 - (self.y + self.height) / height, self.width / width, self.height / height
