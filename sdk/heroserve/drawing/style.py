"""Colours and letters. The colours are Okabe and Ito's, which the colour-blind tell apart; none says anything alone."""

from __future__ import annotations

import os
import unicodedata

from PIL import ImageFont

from heroserve.errors import ArgumentError

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Colour = (255, 255, 255)
INK: Colour = (24, 26, 31)
FAINT: Colour = (96, 101, 112)
LINE: Colour = (205, 209, 216)
# Around what was kept.
EDGE: Colour = (230, 159, 0)
# What dropped patches fade to.
FADED: Colour = (92, 96, 104)
PADDING: Colour = (236, 238, 241)
HATCH: Colour = (190, 195, 203)
# Of the table's columns: share, saliency, relevance, density.
BARS: tuple[Colour, ...] = ((244, 196, 93), (154, 210, 240), (120, 204, 178), (226, 178, 206))

_MISSING = "\uffff"
# Signs that no decomposition makes of them.
_ALIKE = dict(
    zip("\u201e\u201a\u00ab\u00bb\u2013\u2014\u00df\u00d7", ['"', "'", '"', '"', "-", "-", "ss", "x"], strict=True)
)


def told(text: str, longest: int = 200) -> str:
    """The beginning of another's words, for an error's line: nothing in it steers a terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:longest])


class Letters:
    """A font in the sizes that are asked for, and what it can write.

    Args:
        file: of a TrueType font; None for Pillow's own, which has few letters but English ones. One that is none raises
            ArgumentError.
    """

    def __init__(self, file: str | None = None) -> None:
        if file is not None and not isinstance(file, str | os.PathLike):
            raise ArgumentError(f"font: is {type(file).__qualname__}; it must be the name of a TrueType font's file")
        self._file = file
        self._sizes: dict[int, Font] = {}
        self._written: dict[str, str] = {" ": " "}

    def size(self, pixels: int) -> Font:
        if pixels not in self._sizes:
            try:
                font = ImageFont.truetype(self._file, pixels) if self._file else ImageFont.load_default(pixels)
            except (OSError, ValueError) as error:  # the latter of what can't be a file's name
                raise ArgumentError(f"font: cannot open {told(str(self._file))} as one: {told(str(error))}") from error
            self._sizes[pixels] = font
        return self._sizes[pixels]

    def width(self, text: str, pixels: int) -> int:
        return round(self.size(pixels).getlength(text))

    def writable(self, text: str) -> str:
        """One line of it, in letters that the font has: a letter without its accents, or a question mark."""
        return "".join(map(self._writable, " ".join(text.split())))

    def lines(self, text: str, pixels: int, width: int, most: int) -> list[str]:
        """Broken between words to what is as wide, in pixels; what is more than `most` lines ends in dots."""
        lines: list[str] = []
        # Measured is only what could stand there; a letter is a pixel wide at least, or else it doesn't matter.
        text, longest = " ".join(text.split()), most * width
        left = self.writable(text[:longest])
        while left and len(lines) < most:
            line = self._fitting(left, pixels, width)
            left = left[len(line) :].lstrip()
            lines.append(line.rstrip())
        if left or len(text) > longest:
            lines[-1] = self._fitting(lines[-1] + " ", pixels, width - self.width("...", pixels)).rstrip() + "..."
        return lines

    def _fitting(self, text: str, pixels: int, width: int) -> str:
        """How it begins, to the end of a word where one fits; a letter at least."""
        if self.width(text, pixels) <= width:
            return text
        low, high = 1, len(text)
        while low < high - 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.width(text[:middle], pixels) <= width else (low, middle)
        space = text.rfind(" ", 1, low + 1)
        return text[:space] if space > 0 else text[:low]

    def _writable(self, letter: str) -> str:
        if letter not in self._written:
            self._written[letter] = self._rendered(letter)
        return self._written[letter]

    def _rendered(self, letter: str) -> str:
        if self._has(letter):
            return letter
        letter = _ALIKE.get(letter, letter)
        plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
        return plain if plain and all(map(self._has, plain)) else "?"

    def _has(self, letter: str) -> bool:
        if unicodedata.category(letter) in ("Cc", "Cs"):
            return False  # nothing to be seen; halves of a pair are no text at all
        font = self.size(20)
        return bytes(font.getmask(letter)) != bytes(font.getmask(_MISSING))
