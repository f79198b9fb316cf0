"""What others wrote, as it fits into a line of ours: names of files and tensors, values, a library's words."""

from __future__ import annotations

import reprlib

_NAME = 120
_LINE = 1000
# Of a setting: longer than paths are, nearly always.
_VALUE = 300
# Some libraries list all that they know.
_SAID = 300
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _NAME
_GIVEN = reprlib.Repr()
_GIVEN.maxstring = _GIVEN.maxother = _GIVEN.maxlong = _VALUE


def shown(value: object) -> str:
    """Whatever it may be: as Python writes it, cut in its middle where that is long."""
    return _SHORT.repr(value)


def assigned(variable: str, value: object) -> str:
    """How every line begins that refuses a setting; cut in the middle where somebody gave it a whole file."""
    return f"{one_line(variable, _NAME)}={_GIVEN.repr(value)}"


def shown_name(name: str) -> str:
    """Bare where it is plain and short, as names of files and tensors nearly all are; else as ``shown``."""
    plain = name.isprintable() and name.strip() == name and 0 < len(name) <= _NAME
    return name if plain else shown(name)


def one_line(text: str, longest: int = _LINE) -> str:
    """With what is no character to be read written out, and cut in its middle where it is long."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def first_line(error: Exception) -> str:
    """What a library says, as it fits into a line of ours."""
    line, _, rest = str(error).strip().partition("\n")
    if line.endswith(":"):  # what it is about; what of it comes next
        line = f"{line} {rest.strip().partition(chr(10))[0]}"
    line = line or type(error).__name__
    return one_line(line if len(line) <= _SAID else f"{line[:_SAID]} ...")
