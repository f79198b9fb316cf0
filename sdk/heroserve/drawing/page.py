"""All of an explanation on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from heroserve.drawing.style import EDGE, FADED, FAINT, HATCH, INK, PADDING, PAPER, Letters
from heroserve.drawing.table import WIDTH, draw_table, lines_of, percent
from heroserve.drawing.tiles import Panel, draw_grid, draw_patches
from heroserve.drawing.upright import upright
from heroserve.geometry import Geometry
from heroserve.images import ImageSource
from heroserve.savings import Savings

if TYPE_CHECKING:
    from heroserve.explanation import Explanation

MARGIN, GAP = 28, 36
# The largest panel, beside the table and above it, and a token's least side in it; for that a panel may grow to so
# much. It is never thinner than that.
_WIDE, _WIDER, _HIGH, _TOKEN, _MOST, _LEAST = 900, 1180, 760, 6, 1800, 64
# Of an image as wide for its height the panel stands above the table.
_LOW = 2.2
_THUMBNAIL = 300
_TITLE, _TEXT, _LINE = 28, 20, 34


def main_panel(geometry: Geometry) -> Panel:
    """What the local tiles are drawn by, or the image where it has none."""
    shown = geometry.mosaic or geometry.image
    fitting = min((_WIDER if _is_low(geometry) else _WIDE) / shown.width, _HIGH / shown.height)
    scale = max(fitting, min(_TOKEN / min(geometry.pitch), _MOST / max(shown.width, shown.height)))
    return Panel(shown, (max(_LEAST, round(shown.width * scale)), max(_LEAST, round(shown.height * scale))))


def draw(explanation: Explanation, source: ImageSource, answer: str = "", font: str | None = None) -> Image.Image:
    """See `Explanation.draw`."""
    geometry, letters = Geometry(explanation.grid), Letters(font)
    image = upright(source, explanation.image_digest, (explanation.grid.image_width, explanation.grid.image_height))
    low = _is_low(geometry)
    panel = _panel(explanation, geometry, image, letters)
    thumbnail, table = _thumbnail(explanation, geometry, image, letters), _table(explanation, letters)
    body = _beside(panel, _below(thumbnail, table)) if not low else _below(panel, _beside(thumbnail, table))
    head = _head(explanation, answer, body.width, geometry, letters)
    whole = _below(head, _below(body, _foot(explanation.savings, body.width, letters), 0), 0)
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


def _head(explanation: Explanation, answer: str, width: int, geometry: Geometry, letters: Letters) -> Image.Image:
    """Question, answer, and what the colours mean."""
    texts = [(line, _TITLE, INK) for line in letters.lines(explanation.question, _TITLE, width, 2)]
    if answer:
        texts += [(line, _TITLE, FAINT) for line in letters.lines(f"answer: {answer}", _TITLE, width, 2)]
    head = Image.new("RGB", (width, len(texts) * (_TITLE + 10) + 54), PAPER)
    pen = ImageDraw.Draw(head)
    for row, (line, size, colour) in enumerate(texts):
        pen.text((0, row * (_TITLE + 10)), line, font=letters.size(size), fill=colour)
    left, middle = 0, head.height - 34
    for name, inside, edge in (
        ("kept", PAPER, EDGE),
        ("dropped", FADED, FADED),
        *((("padding", PADDING, HATCH),) if geometry.padded else ()),
    ):
        pen.rectangle((left, middle - 11, left + 21, middle + 10), fill=inside, outline=edge, width=3)
        pen.text((left + 30, middle), name, font=letters.size(_TEXT), fill=INK, anchor="lm")
        left += 30 + letters.width(name, _TEXT) + 28
    pen.text((left, middle), _facts(explanation), font=letters.size(_TEXT), fill=FAINT, anchor="lm")
    return head


def _facts(explanation: Explanation) -> str:
    grid = explanation.grid
    side = grid.patches_per_side
    tiles = f"{grid.rows} x {grid.cols} tiles" if grid.rows * grid.cols else "one tile"
    return f"{grid.image_width} x {grid.image_height} pixels, {tiles} of {side} x {side} visual tokens"


def _foot(savings: Savings, width: int, letters: Letters) -> Image.Image:
    words = [f"{savings.kept} of {savings.total} visual tokens kept, {savings.dropped} dropped ({savings.ratio:.1%})"]
    if savings.prefill_flops:
        words.append(f"{amount(savings.prefill_flops)}FLOP of prefill saved")
    if savings.kv_cache_bytes:
        words.append(f"{amount(savings.kv_cache_bytes)}B of KV cache saved")
    lines = letters.lines("  ·  ".join(words), 24, width, 3)
    foot = Image.new("RGB", (width, 18 + len(lines) * _LINE), PAPER)
    pen = ImageDraw.Draw(foot)
    for row, line in enumerate(lines):
        pen.text((0, 18 + row * _LINE), line, font=letters.size(24), fill=INK)
    return foot


def amount(number: float) -> str:
    """In two or three digits, with a space and the unit's prefix."""
    prefixes = ["", "k", "M", "G", "T", "P"]
    while number >= 999.5 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{number:.1f} {prefixes[0]}" if 0 < number < 99.5 else f"{number:.0f} {prefixes[0]}"
