"""What a model can be compared on: where it fails with every token, no rule can be told from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dataset import Picture
from .evaluate import Outcome
from .summary import Values

# Share of right answers with all tokens from which on a way or a kind is in the comparison.
ENOUGH = 0.6


@dataclass(frozen=True)
class Fitting:
    """Ways that a picture may be made, and kinds of question, that are compared."""

    ways: tuple[str, ...]
    kinds: tuple[str, ...]

    def __call__(self, picture: Picture) -> Picture:
        """With the questions that are compared; none of a picture of another way."""
        return picture.only(self.kinds if picture.way in self.ways else ())


def fitting(outcome: Outcome) -> Fitting:
    """Ways first, over all kinds; then kinds, over the ways that are left. Of one method, at one retention.

    Raises:
        ValueError: nothing is left.
    """
    right = outcome.right[:, 0, 0]
    ways = _enough(right, outcome.ways)
    left = np.isin(outcome.ways, ways)
    kinds = _enough(right[left], outcome.kinds[left])
    if not kinds:
        raise ValueError(
            f"with all tokens the model answers less than {ENOUGH:.0%} right of every kind: nothing to compare"
        )
    return Fitting(ways, kinds)


def told(outcome: Outcome, left: Fitting) -> Values:
    """Accuracy with all tokens of each way and kind, and what is compared: plain values."""
    right = outcome.right[:, 0, 0]
    cells = {
        way: {
            kind: {"questions": int(here.sum()), "accuracy": float(right[here].mean())}
            for kind in _names(outcome.kinds)
            if (here := (outcome.ways == way) & (outcome.kinds == kind)).any()
        }
        for way in _names(outcome.ways)
    }
    return {"enough": ENOUGH, "ways": list(left.ways), "kinds": list(left.kinds), "all_tokens": cells}


def _enough(right: NDArray[np.bool_], groups: NDArray[np.str_]) -> tuple[str, ...]:
    return tuple(name for name in _names(groups) if right[groups == name].mean() >= ENOUGH)


def _names(groups: NDArray[np.str_]) -> list[str]:
    """In the order they first come."""
    return list(dict.fromkeys(groups.tolist()))
