"""What was found, kept in a file side by side, so that a run that was ended goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.answers.report import Row


class Record:
    """Args:
    file: of all rows, of other runs' too; it need not be there yet.
    about: what rows must say to be this run's: rows of one run alone are compared.
    """

    def __init__(self, file: Path, about: Mapping[str, Any]) -> None:
        self._file, self._about = file, about
        self._rows: list[Row] = json.loads(file.read_text()) if file.exists() else []

    def has(self, side: str) -> bool:
        return any(row["side"] == side for row in self._ours())

    def put(self, side: str, found: Iterable[Row]) -> None:
        """Write them at once, in place of what stood there of that side."""
        before = [row for row in self._ours() if row["side"] == side]
        self._rows = [row for row in self._rows if row not in before]
        self._rows += [{**self._about, **row, "side": side} for row in found]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._rows, indent=1) + "\n")

    def rows(self, order: Sequence[str]) -> list[Row]:
        """This run's, by side."""
        return sorted(self._ours(), key=lambda row: order.index(row["side"]))

    def _ours(self) -> list[Row]:
        return [row for row in self._rows if self._about.items() <= row.items()]
