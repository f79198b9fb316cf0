"""How far many questions are: a line that moves on a terminal; elsewhere one now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from heroserve.cli.output import console, note
from heroserve.cli.told import one_line
from heroserve.cli.waiting import can_move
from heroserve.savings import Savings

_EVERY_S = 30.0


@dataclass
class Tally:
    """What became of questions up to now.

    Attributes:
        answered: of this run.
        before: answers that an earlier run has left.
        failed: that have no answer.
        empty: of this run's answers those without a word.
        savings: of this run's answers together.
        began: on the clock that only goes forward, in seconds.
    """

    answered: int = 0
    before: int = 0
    failed: int = 0
    empty: int = 0
    savings: Savings = Savings()  # noqa: RUF009 - frozen
    began: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / max(time.monotonic() - self.began, 1e-3)

    @property
    def done(self) -> int:
        """Questions that need not be waited for any more."""
        return self.answered + self.before + self.failed


class Progress:
    """Shows a `Tally` on stderr.

    Args:
        wanted: False shows nothing, and `say` as well.
        total: questions there are; None where that is not known.
    """

    def __init__(self, wanted: bool, total: int | None) -> None:
        self._wanted = wanted
        self._total = total
        self._said = time.monotonic()
        self._bar: Bar | None = None
        if wanted and can_move():
            text = TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
            )
            columns = (text,) if total is None else (BarColumn(20), text)
            self._bar = Bar(
                *columns,
                console=console(stderr=True, soft_wrap=False),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("", total=total)
            self._bar.start()

    def show(self, tally: Tally) -> None:
        """After every outcome."""
        if self._bar is not None:
            self._bar.update(self._task, completed=tally.done, description=self.words(tally))
        elif self._wanted and time.monotonic() - self._said >= _EVERY_S:
            self._said = time.monotonic()
            note(self.words(tally))

    def say(self, text: str) -> None:
        """A line of its own; it may hold others' words."""
        text = one_line(text)
        if self._bar is not None:
            # Of a style beside it the bar would be, too.
            self._bar.console.print(Text(text, "yellow"), soft_wrap=True)
        elif self._wanted:
            note(text)

    def close(self) -> None:
        """Harmless a second time."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def words(self, tally: Tally) -> str:
        """How far it is, how fast, how long it goes on, and what is saved."""
        done = tally.done
        parts = [str(done) if self._total is None else f"{done}/{self._total}"]
        if tally.answered:
            parts.append(f"{tally.rate:.1f}/s" if tally.rate >= 0.1 else f"{tally.rate * 60:.1f}/min")
            if self._total is not None and self._total > done:
                parts.append(f"{_clock((self._total - done) / tally.rate)} left")
        if tally.savings.total:
            parts.append(f"{tally.savings.ratio:.1%} of visual tokens dropped")
        if tally.failed:
            parts.append(f"{tally.failed} failed")
        return " · ".join(parts)


def _clock(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
