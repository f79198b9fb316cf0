"""What is said of one fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.faults.traffic import Asked

# What no fault may make of a question.
FORBIDDEN = ("WRONG", "INTERNAL", "UNKNOWN", "HUNG", "LOST")
HEAD = (
    "| fault | asked | right | wrong | INTERNAL, UNKNOWN | hung, lost | other statuses | slowest s | well after s "
    "| MiB |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |"
)


@dataclass(frozen=True)
class Row:
    """One fault.

    Args:
        fault: its name.
        words: what happened.
        statuses: of questions from the moment on at which it happened; ``OK`` are right answers.
        slowest_s: of the right answers.
        well_after_s: how long after that moment the last question was sent that was not answered at once; 0 if none
            was. None if it never became well.
        memory_mib: of both services' processes, in the end.
        bad: what should not have been, in words.
    """

    fault: str
    words: str
    statuses: dict[str, int]
    slowest_s: float
    well_after_s: float | None
    memory_mib: int
    bad: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, fault: str, words: str, moment: float, asked: Sequence[Asked], memory_mib: int, *, well: bool) -> Row:
        statuses = Counter(each.status for each in asked)
        slowest = max((each.seconds for each in asked if each.status == "OK"), default=0.0)
        after = max((each.sent - moment for each in asked if not each.well), default=0.0)
        bad = [f"{each.status} {each.details}" for each in asked if each.status in FORBIDDEN]
        return cls(fault, words, dict(statuses), round(slowest, 2), round(after, 1) if well else None, memory_mib, bad)

    @property
    def failed(self) -> bool:
        return bool(self.bad) or self.well_after_s is None

    def __str__(self) -> str:
        count = Counter(self.statuses)
        known = {"OK", *FORBIDDEN}
        others = ", ".join(f"{n} {name}" for name, n in count.most_common() if name not in known) or "none"
        after = "never" if self.well_after_s is None else f"{self.well_after_s:.1f}"
        cells = (
            self.words,
            count.total(),
            count["OK"],
            count["WRONG"],
            count["INTERNAL"] + count["UNKNOWN"],
            count["HUNG"] + count["LOST"],
            others,
            f"{self.slowest_s:.1f}",
            after,
            self.memory_mib,
        )
        return f"| {' | '.join(map(str, cells))} |"
