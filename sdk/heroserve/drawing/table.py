"""A line a tile: what was kept of it, and what made it matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from heroserve.drawing.style import BARS, FAINT, INK, LINE, PAPER, Letters
from heroserve.v1.encoder_pb2 import Tile

WIDTH = 540
# Tiles that are told of; of more, those with the greatest share.
_MOST = 20
_ROW, _HEAD, _SIZE = 34, 34, 20
# Where columns begin; of the terms each is as wide.
_KEPT, _TERMS, _TERM = 44, 168, 93
_NAMES = ("share", "saliency", "relevance", "density")


@dataclass(frozen=True)
class Line:
    """Of a tile: its name, what was kept of how many, and share, saliency, relevance and density, 0 to 1; None of what
    it has none."""

    name: str
    kept: int
    valid: int
    terms: tuple[float | None, ...]


def lines_of(tiles: Sequence[Tile]) -> list[Line]:
    """The thumbnail's, which is T, and the local tiles'."""
    local = [tile for tile in tiles if tile.index]
    chosen = sorted(local, key=lambda tile: -tile.importance)[:_MOST]
    # All are 0 only where relevance is off.
    off = not any(tile.explanation.relevance for tile in local)
    lines = [Line("T", len(tile.positions), tile.valid, (None,) * 4) for tile in tiles if not tile.index]
    for tile in sorted(chosen, key=lambda tile: tile.index):
        terms = tile.explanation
        relevance = None if off else terms.relevance
        shares = (tile.importance, terms.saliency, relevance, terms.density)
        told = shares if tile.HasField("explanation") else (tile.importance, None, None, None)
        lines.append(Line(str(tile.index), len(tile.positions), tile.valid, told))
    return lines


def draw_table(lines: Sequence[Line], left_out: int, letters: Letters) -> Image.Image:
    """As wide as `WIDTH`; ``left_out`` is how many tiles have no line."""
    font, small = letters.size(_SIZE), letters.size(17)
    drawn = Image.new("RGB", (WIDTH, _HEAD + _ROW * (len(lines) + bool(left_out))), PAPER)
    pen = ImageDraw.Draw(drawn)
    pen.text((0, _HEAD // 2), "tile", font=small, fill=FAINT, anchor="lm")
    pen.text((_TERMS - 16, _HEAD // 2), "kept of", font=small, fill=FAINT, anchor="rm")
    for column, name in enumerate(_NAMES):
        pen.text((_TERMS + column * _TERM, _HEAD // 2), name, font=small, fill=FAINT, anchor="lm")
    for row, line in enumerate(lines):
        top = _HEAD + row * _ROW
        middle = top + _ROW // 2
        pen.line((0, top, WIDTH, top), fill=LINE)
        pen.text((4, middle), line.name, font=font, fill=INK, anchor="lm")
        pen.text((_TERMS - 16, middle), f"{line.kept} of {line.valid}", font=font, fill=INK, anchor="rm")
        for column, value in enumerate(line.terms):
            left = _TERMS + column * _TERM
            if value is None:
                continue
            most = max((each.terms[column] or 0 for each in lines), default=0) or 1
            length = round((_TERM - 8) * min(1.0, value / most))
            if length:
                pen.rectangle((left, top + 5, left + length - 1, top + _ROW - 5), fill=BARS[column])
            pen.text((left + 5, middle), percent(value), font=font, fill=INK, anchor="lm")
    if left_out:
        middle = _HEAD + _ROW * len(lines) + _ROW // 2
        pen.text((4, middle), f"and {left_out} tiles with smaller shares", font=small, fill=FAINT, anchor="lm")
    return drawn


def percent(value: float) -> str:
    """Of a share, 0 to 1."""
    return "<1%" if 0 < value < 0.005 else f"{value:.0%}"
