"""One setting: the environment variable it comes from, how its text is read, and what users are told of it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from services.common.shown import one_line

Parser = Callable[[str], Any]

_PREFIX = "HEROSERVE_"


def setting(
    variable: str, parse: Parser, default: Any, words: str = "", *, shown: str = "", secret: bool = False
) -> Any:
    """A dataclass field read from ``variable``.

    `python -m scripts.generate settings` writes README's table of it, and its line in docker-compose.yml.

    Args:
        variable: HEROSERVE_*.
        parse: raises ValueError with what is expected.
        default: what unset or blank means.
        words: what it is, in Markdown. A choice names its options by itself.
        shown: what the table says in place of the default, in Markdown.
        secret: stays out of the settings' repr, and so out of logs.
    """
    metadata = {"variable": variable, "parse": parse, "words": words, "shown": shown}
    return field(default=default, repr=not secret, metadata=metadata)


def text(value: str) -> str:
    return value.strip()


def whole_line(value: str) -> str:
    """Blanks and all, but for the end of a line that a file put behind it."""
    return value.rstrip("\r\n")


@dataclass(frozen=True)
class Secret:
    """A parser of at least so many characters."""

    least: int

    @property
    def expected(self) -> str:
        return f"expected {self.least} characters or more, and random ones"

    def __call__(self, value: str) -> str:
        found = value.strip()
        if len(found) < self.least:
            raise ValueError(self.expected)
        return found


def _plain(value: str) -> bool:
    """Python reads 1_0 and other scripts' digits as numbers too, which nobody means here."""
    return value.isascii() and "_" not in value


@dataclass(frozen=True)
class Whole:
    """A parser of a whole number in [low, high]."""

    low: int
    high: int

    @property
    def expected(self) -> str:
        return f"expected a whole number from {self.low} to {self.high}"

    def __call__(self, value: str) -> int:
        try:
            number = int(value) if _plain(value) else self.low - 1
        except ValueError:
            number = self.low - 1
        if not self.low <= number <= self.high:
            raise ValueError(self.expected)
        return number


@dataclass(frozen=True)
class Real:
    """A parser of a number in [low, high], or in (low, high] with ``above``."""

    low: float
    high: float
    above: bool

    @property
    def expected(self) -> str:
        return f"expected a number in {'(' if self.above else '['}{self.low:g}, {self.high:g}]"

    def __call__(self, value: str) -> float:
        try:
            number = float(value) if _plain(value) else math.nan
        except ValueError:
            number = math.nan
        if math.isnan(number) or not self.low <= number <= self.high or (self.above and number == self.low):
            raise ValueError(self.expected)
        return number


def secret(least: int) -> Parser:
    return Secret(least)


def integer(low: int, high: int) -> Parser:
    return Whole(low, high)


def real(low: float, high: float, *, above: bool = False) -> Parser:
    return Real(low, high, above)


@dataclass(frozen=True)
class Choice:
    """A parser that takes one of a few words."""

    options: tuple[str, ...]

    def __call__(self, value: str) -> str:
        if value.strip() not in self.options:
            raise ValueError(f"expected one of {', '.join(self.options)}")
        return value.strip()


def choice(literal: object) -> Choice:
    """One of the strings of a ``Literal``, which types the field and who takes its value."""
    return Choice(get_args(literal))


port = integer(1, 65535)


def unknown(names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """A line for each HEROSERVE_* variable among ``names`` that is not ``known``, with the nearest one that is."""
    known = {name.removeprefix(_PREFIX) for name in known}
    for name in sorted(names):
        word = name.removeprefix(_PREFIX)
        if word != name and word not in known:
            nearest = difflib.get_close_matches(word, sorted(known), 1)
            yield f"{one_line(name, 120)} is no setting" + (f"; did you mean {_PREFIX}{nearest[0]}?" if nearest else "")
