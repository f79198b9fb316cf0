"""What stands above and below: question, answer and legend; what was saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from heroserve.drawing.style import EDGE, FADED, FAINT, HATCH, INK, PADDING, PAPER, Letters
from heroserve.geometry import Geometry
from heroserve.savings import Savings

if TYPE_CHECKING:
    from heroserve.explanation import Explanation

_TITLE, _TEXT, _FOOT, _LINE = 28, 20, 24, 34


def draw_head(explanation: Explanation, answer: str, width: int, geometry: Geometry, letters: Letters) -> Image.Image:
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


def draw_foot(savings: Savings, width: int, letters: Letters) -> Image.Image:
    """What was saved."""
    words = [f"{savings.kept} of {savings.total} visual tokens kept, {savings.dropped} dropped ({savings.ratio:.1%})"]
    if savings.prefill_flops:
        words.append(f"{amount(savings.prefill_flops)}FLOP of prefill saved")
    if savings.kv_cache_bytes:
        words.append(f"{amount(savings.kv_cache_bytes)}B of KV cache saved")
    lines = letters.lines("  ·  ".join(words), _FOOT, width, 3)
    foot = Image.new("RGB", (width, 18 + len(lines) * _LINE), PAPER)
    pen = ImageDraw.Draw(foot)
    for row, line in enumerate(lines):
        pen.text((0, 18 + row * _LINE), line, font=letters.size(_FOOT), fill=INK)
    return foot


def amount(number: float) -> str:
    """In two or three digits, with a space and the unit's prefix."""
    prefixes = ["", "k", "M", "G", "T", "P"]
    while number >= 999.5 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{number:.1f} {prefixes[0]}" if 0 < number < 99.5 else f"{number:.0f} {prefixes[0]}"
