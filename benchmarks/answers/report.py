"""What was found, reckoned and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Row = dict[str, Any]
_HEAD = (
    *("", "R", "new picture: first token, s", "answers/s", "known picture: first token, s", "the same, all at once"),
    *("answers/s, all at once", "of plain", "of stock", "tokens a prompt", "of them cached"),
    *("KV a request, MB", "memory so far, GB"),
)


@dataclass(frozen=True)
class Ratio:
    """Of two medians; with the lowest and the highest that two measurements of them could give."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, these: Sequence[float], those: Sequence[float]) -> Ratio:
        return cls(median(these) / median(those), min(these) / max(those), max(these) / min(those))

    def __str__(self) -> str:
        return f"{self.middle:.2f}x ({self.low:.2f} to {self.high:.2f})"


def new_rates(row: Row) -> list[float]:
    """Answers a second about new pictures, of one caller: one of each."""
    return [1 / whole for _, whole in row["new_s"]]


def table(rows: Sequence[Row]) -> str:
    """In Markdown: medians, with the lowest and the highest; ratios are of answers/s, all at once."""
    lines = [f"| {' | '.join(_HEAD)} |", f"| --- | --- |{' ---: |' * (len(_HEAD) - 2)}"]
    for row in rows:
        ratios = [_ratio(row, _side(rows, name)) for name in ("plain", "stock")]
        cells = [
            row["side"],
            "1" if row["retention"] is None else f"{row['retention']:g}",
            _spread([first for first, _ in row["new_s"]]),
            _spread(new_rates(row)),
            _spread([first for first, _ in row["known_s"]]),
            _spread(row["first_s"]),
            _spread(row["rates"]),
            *(str(ratio) if ratio else "" for ratio in ratios),
            f"{row['prompt']:.0f}",
            f"{row['cached'] / row['prompt']:.0%}",
            f"{row['kv_request_bytes'] / 1e6:.1f}",
            f"{row['peak_bytes'] / 1e9:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def aims(rows: Sequence[Row]) -> Iterator[str]:
    """A line each, with what it came to."""
    for row in rows:
        if row["retention"] == 0.2:
            for name, wanted in (("plain", 4.7), ("stock", 2.0), ("stock-roomy", 2.0)):
                if ratio := _ratio(row, _side(rows, name)):
                    yield _judged(f"{row['side']}, R = 0.2, known pictures, of {name}", ratio, wanted)
        stock = _side(rows, "stock")
        if row["retention"] == 1 and stock:
            ratio = Ratio.of(new_rates(row), new_rates(stock))
            yield _judged(f"{row['side']}, R = 1, new pictures, of stock", ratio, 0.9)


def _judged(what: str, ratio: Ratio, wanted: float) -> str:
    return f"{what}: {ratio}; the aim is {wanted:g}: {'met' if ratio.middle >= wanted else 'missed'}"


def _side(rows: Sequence[Row], name: str) -> Row | None:
    return next((row for row in rows if row["side"] == name), None)


def _ratio(row: Row, other: Row | None) -> Ratio | None:
    return None if other is None else Ratio.of(row["rates"], other["rates"])


def _spread(values: Sequence[float]) -> str:
    low, middle, high = min(values), median(values), max(values)
    return f"{middle:.2f}" if len(values) == 1 else f"{middle:.2f} ({low:.2f} to {high:.2f})"
