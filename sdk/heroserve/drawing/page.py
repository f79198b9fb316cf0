"""All of an explanation on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from heroserve.drawing.style import FAINT, INK, PAPER, Letters
from heroserve.drawing.table import WIDTH, draw_table, lines_of, percent
from heroserve.drawing.tiles import Panel, draw_grid, draw_patches
from heroserve.drawing.upright import upright
from heroserve.drawing.words import draw_foot, draw_head
from heroserve.geometry import Geometry
from heroserve.images import ImageSource
from heroserve.nonsense import check_savings, check_tiles

if TYPE_CHECKING:
    from heroserve.explanation import Explanation

MARGIN, GAP = 28, 36
# The largest panel, beside the table and above it, and a token's least side in it; for that a panel may grow to so
# much. It is never thinner than that.
_WIDE, _WIDER, _HIGH, _TOKEN, _MOST, _LEAST = 900, 1180, 760, 6, 1800, 64
# Of an image as wide for its height the panel stands above the table.
_LOW = 2.2
_THUMBNAIL = 300
_TEXT = 20


def main_panel(geometry: Geometry) -> Panel:
    """What the local tiles are drawn by, or the image where it has none."""
    shown = geometry.mosaic or geometry.image
    fitting = min((_WIDER if _is_low(geometry) else _WIDE) / shown.width, _HIGH / shown.height)
    scale = max(fitting, min(_TOKEN / min(geometry.pitch), _MOST / max(shown.width, shown.height)))
    return Panel(shown, (max(_LEAST, round(shown.width * scale)), max(_LEAST, round(shown.height * scale))))


def draw(explanation: Explanation, source: ImageSource, answer: str = "", font: str | None = None) -> Image.Image:
    """See `Explanation.draw`."""
    geometry, letters = Geometry(explanation.grid), Letters(font)
    check_tiles(explanation.tiles, explanation.grid)
    check_savings(explanation.savings)
    image = upright(source, explanation.image_digest, (explanation.grid.image_width, explanation.grid.image_height))
    low = _is_low(geometry)
    panel = _panel(explanation, geometry, image, letters)
    thumbnail, table = _thumbnail(explanation, geometry, image, letters), _table(explanation, letters)
    body = _beside(panel, _below(thumbnail, table)) if not low else _below(panel, _beside(thumbnail, table))
    head = draw_head(explanation, answer, body.width, geometry, letters)
    whole = _below(head, _below(body, draw_foot(explanation.savings, body.width, letters), 0), 0)
    page = Image.new("RGB", (whole.width + 2 * MARGIN, whole.height + 2 * MARGIN), PAPER)
    page.paste(whole, (MARGIN, MARGIN))
    return page


def _is_low(geometry: Geometry) -> bool:
    shown = geometry.mosaic or geometry.image
    return shown.width > _LOW * shown.height


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (left.width + GAP + right.width, max(left.height, right.height)), PAPER)
    both.paste(left, (0, 0))
    both.paste(right, (left.width + GAP, 0))
    return both


def _below(upper: Image.Image, lower: Image.Image, gap: int = MARGIN) -> Image.Image:
    both = Image.new("RGB", (max(upper.width, lower.width), upper.height + gap + lower.height), PAPER)
    both.paste(upper, (0, 0))
    both.paste(lower, (0, upper.height + gap))
    return both


def _panel(explanation: Explanation, geometry: Geometry, image: Image.Image, letters: Letters) -> Image.Image:
    panel = main_panel(geometry)
    tiles = [tile for tile in explanation.tiles if bool(tile.index) == (geometry.mosaic is not None)]
    kept = [geometry.token(tile.index, position) for tile in tiles for position in tile.positions]
    drawn = draw_patches(image, panel, geometry.image, kept)
    names = {f"{tile.index}  {percent(tile.importance)}": geometry.tile(tile.index) for tile in tiles if tile.index}
    draw_grid(drawn, panel, names, letters)
    return drawn


def _thumbnail(explanation: Explanation, geometry: Geometry, image: Image.Image, letters: Letters) -> Image.Image:
    """As the model sees it, one square tile, and beside it what it is."""
    panel = Panel(geometry.image, (_THUMBNAIL, _THUMBNAIL))
    kept = [geometry.token(0, position) for tile in explanation.tiles if not tile.index for position in tile.positions]
    drawn = draw_patches(image, panel, geometry.image, kept)
    draw_grid(drawn, panel, {}, letters)
    words = Image.new("RGB", (WIDTH - _THUMBNAIL - GAP, _THUMBNAIL), PAPER)
    pen = ImageDraw.Draw(words)
    about = letters.lines(
        "the whole image as one square tile; it gets the same share for every question", _TEXT, words.width, 6
    )
    for row, line in enumerate(["T, the thumbnail", *about]):
        pen.text((0, row * 27), line, font=letters.size(_TEXT), fill=FAINT if row else INK)
    return _beside(drawn, words)


def _table(explanation: Explanation, letters: Letters) -> Image.Image:
    lines = lines_of(explanation.tiles)
    return draw_table(lines, len(explanation.tiles) - len(lines), letters)
