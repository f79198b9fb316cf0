"""How many visual tokens of an image to keep: one value, whatever it is said in.

Another kind is a class here, its field in ``wire``, and a case wherever a ``Budget`` is matched, which mypy finds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


class BudgetError(ValueError):
    """A budget is out of range.

    Args:
        kind: what the budget is said in, as it is called everywhere.
        problem: what is wrong with it.
    """

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"{kind} {problem}")
        self.kind = kind
        self.problem = problem


@dataclass(frozen=True)
class Retention:
    """R: a share of the image's visual tokens, in (0, 1]."""

    share: float

    def __post_init__(self) -> None:
        if math.isnan(self.share) or not 0 < self.share <= 1:
            raise BudgetError("retention", f"is {self.share:g}; it must be above 0 and at most 1")


@dataclass(frozen=True)
class MaxVisualTokens:
    """A number of visual tokens, at least 1; newline tokens are not counted."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BudgetError("max_visual_tokens", f"is {self.count}; it must be at least 1")


Budget = Retention | MaxVisualTokens
