"""How sure an accuracy is: the percentile bootstrap over scenes.

Questions about one picture are not independent, so whole scenes are drawn (a cluster bootstrap). All methods share the
draws, so the difference of two is paired: what makes a scene hard for both cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 4000
LEVEL = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Estimate and bounds, arrays of one shape."""

    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Resampled:
    """Ratios over the sample and over each draw: [...] and [DRAWS, ...]."""

    mean: Array
    draws: Array

    def interval(self) -> Interval:
        edge = (1 - LEVEL) / 2
        low, high = np.nanquantile(self.draws, [edge, 1 - edge], axis=0)
        return Interval(self.mean, low, high)

    def minus(self, other: Resampled) -> Resampled:
        """Of the same draws."""
        return Resampled(self.mean - other.mean, self.draws - other.draws)

    def __getitem__(self, index: Any) -> Resampled:
        return Resampled(
            self.mean[index], self.draws[(slice(None), *(index if isinstance(index, tuple) else (index,)))]
        )


class SceneBootstrap:
    """Draws of scenes with replacement, the same for everything that is resampled with it.

    Args:
        scenes: int64 [Q], the scene of each question.
        seed: of the draws.
        draws: how many.
    """

    def __init__(self, scenes: NDArray[np.int64], seed: int = 0, draws: int = DRAWS) -> None:
        names, self._scene = np.unique(scenes, return_inverse=True)
        self._count = len(names)
        rng = np.random.default_rng(seed)
        share = np.full(self._count, 1 / self._count)
        # How often each draw holds each scene: [draws, scenes].
        self._times = rng.multinomial(self._count, share, size=draws).astype(np.float64)

    def accuracy(self, right: NDArray[Any], among: NDArray[np.bool_] | None = None) -> Resampled:
        """Share of right answers among questions.

        Args:
            right: [Q, ...], of numbers or bool.
            among: bool [Q], which questions count; all by default.
        """
        counted = np.ones(len(right), bool) if among is None else among
        values = right[counted].astype(np.float64).reshape(int(counted.sum()), -1)
        sums = np.zeros((self._count, values.shape[1]))
        np.add.at(sums, self._scene[counted], values)
        asked = np.bincount(self._scene[counted], minlength=self._count).astype(np.float64)
        shape = right.shape[1:]
        with np.errstate(invalid="ignore"):
            draws = (self._times @ sums) / (self._times @ asked)[:, None]
            mean = values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)
        return Resampled(mean.reshape(shape), draws.reshape(-1, *shape))
