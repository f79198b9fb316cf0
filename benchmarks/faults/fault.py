"""What is done to a stack, for a while."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from scripts.stack import Stack


@dataclass(frozen=True)
class Fault:
    """One kind.

    Args:
        name: for the command line.
        words: what happens, for the table.
        happens: does it when it is entered, and undoes it when it is left, if that can be undone.
        lasts: it goes on until it is left; left is it when questions are answered again, or when its time is over.
    """

    name: str
    words: str
    happens: Callable[[Stack], AbstractContextManager[None]]
    lasts: bool = False
