"""The image on its tiles: kept patches clear, dropped ones dimmed."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from heroserve.drawing.style import EDGE, FADED, HATCH, INK, PADDING, PAPER, Letters
from heroserve.geometry import Box

# Of a dropped patch, how much of it is still to be seen.
_LEFT = 0.35
# Around what is kept, in pixels.
_EDGE = 2
_STEP = 12


@dataclass(frozen=True)
class Panel:
    """From an image's pixels to a picture's.

    Args:
        shown: of the image, and of what is around it.
        size: width and height, in the picture's pixels.
    """

    shown: Box
    size: tuple[int, int]

    def place(self, box: Box) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a box, half-open; what touches in the image touches here."""
        x, y = self.size[0] / self.shown.width, self.size[1] / self.shown.height
        left, right = (round((edge - self.shown.left) * x) for edge in (box.left, box.right))
        top, bottom = (round((edge - self.shown.top) * y) for edge in (box.top, box.bottom))
        return left, top, right, bottom


def draw_patches(image: Image.Image, panel: Panel, whole: Box, kept: list[Box]) -> Image.Image:
    """What was kept of an image.

    Args:
        image: upright, RGB.
        panel: what is drawn.
        whole: all of the image.
        kept: what of the image the kept tokens show, in its pixels.
    """
    drawn = _padding(panel.size)
    left, top, right, bottom = panel.place(whole)
    width, height = max(1, right - left), max(1, bottom - top)
    larger = width > image.width or height > image.height
    clear = image.resize((width, height), Image.Resampling.BICUBIC if larger else Image.Resampling.LANCZOS)
    dimmed = Image.blend(Image.new("RGB", clear.size, FADED), clear.convert("L").convert("RGB"), _LEFT)
    drawn.paste(dimmed, (left, top))
    mask = Image.new("L", panel.size)
    pen = ImageDraw.Draw(mask)
    for box in kept:
        x, y, right, bottom = panel.place(box)
        if right > x and bottom > y:
            pen.rectangle((x, y, right - 1, bottom - 1), fill=255)
    # The edge lies outside of what is kept, which is seen whole.
    around = ImageChops.subtract(mask.filter(ImageFilter.MaxFilter(2 * _EDGE + 1)), mask)
    drawn.paste(EDGE, (0, 0), around)
    drawn.paste(clear, (left, top), mask.crop((left, top, left + width, top + height)))
    return drawn


def draw_grid(drawn: Image.Image, panel: Panel, tiles: dict[str, Box], letters: Letters) -> None:
    """Lines between tiles, and in each its name: what is short enough for the tile of it."""
    pen = ImageDraw.Draw(drawn)
    width, height = panel.size
    placed = {name: panel.place(box) for name, box in tiles.items()}
    for x in sorted({edge for box in placed.values() for edge in (box[0], box[2])} - {0, width}):
        pen.line((x, 0, x, height), fill=INK, width=3)
        pen.line((x, 0, x, height), fill=PAPER, width=1)
    for y in sorted({edge for box in placed.values() for edge in (box[1], box[3])} - {0, height}):
        pen.line((0, y, width, y), fill=INK, width=3)
        pen.line((0, y, width, y), fill=PAPER, width=1)
    pen.rectangle((0, 0, width - 1, height - 1), outline=INK, width=1)
    for name, (left, top, right, bottom) in placed.items():
        if bottom - top < 40:
            continue
        for text in (name, name.split()[0]):
            wide = letters.width(text, 18) + 12
            if wide <= (right - left) * 0.6:
                pen.rectangle((left + 2, top + 2, left + 2 + wide, top + 26), fill=INK)
                pen.text((left + 8, top + 14), text, font=letters.size(18), fill=PAPER, anchor="lm")
                break


def _padding(size: tuple[int, int]) -> Image.Image:
    width, height = size
    drawn = Image.new("RGB", size, PADDING)
    pen = ImageDraw.Draw(drawn)
    for start in range(-height, width, _STEP):
        pen.line((start, height, start + height, 0), fill=HATCH, width=1)
    return drawn
