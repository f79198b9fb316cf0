"""Commands of the how-to pages that are run in this process, for they read files and print."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

import pytest

from tests.support.docs import Command, blocks, commands, documents


def how_to_commands(word: str) -> list[Command]:
    """Those with this word in them."""
    pages = [page for page in documents() if page.startswith("docs/how-to/")]
    return [each for page in pages for block in blocks(page) for each in commands(block) if word in each.text]


def check_shown(
    main: Callable[[Sequence[str]], object], found: Sequence[Command], capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m MODULE ...``, whose ``main`` it is, prints what stands below each; blank lines are nobody's."""
    for command in found:
        main(shlex.split(command.text)[3:])
        told = [line for line in capsys.readouterr().out.splitlines() if line]
        assert told == list(command.shown), command.place
