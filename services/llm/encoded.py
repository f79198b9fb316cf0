"""What the encoder kept of an image, as the heart takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from services.common.budget import Budget
from services.families.grid import Grid
from services.llm.explanation import Explanation
from services.llm.job import ImagePart
from services.llm.refusal import Role

# For each tile, the thumbnail's first, int64 [<= N], positions within it, ascending.
Positions = list[np.ndarray[Any, np.dtype[np.int64]]]


@dataclass(frozen=True)
class EncodedImage:
    """The visual tokens kept of one image.

    Args:
        grid: how it was cut.
        kept: the kept positions.
        features: [n, H], a row a kept token, tile after tile; int8 rows as float32.
        total: visual tokens of the whole image.
        cache: whether the encoder had it: hit, miss or bypass.
        base: of ``kept`` what any question would keep; empty where that was not asked for.
        explanation: why; None where that was not asked for.
    """

    grid: Grid
    kept: Positions
    features: torch.Tensor
    total: int
    cache: str
    base: Positions = field(default_factory=list)
    explanation: Explanation | None = None


@dataclass(frozen=True)
class PlannedImage:
    """What the encoder would keep of an image.

    Args:
        total: visual tokens of the whole image.
        kept: how many of them it would keep.
        relevance: how well the question fits it, to be compared by a softmax.
        cache, base, explanation: as of an ``EncodedImage``.
    """

    total: int
    kept: int
    relevance: float
    cache: str = "hit"
    base: Positions = field(default_factory=list)
    explanation: Explanation | None = None


class ImageEncoder(Protocol):
    """Where visual tokens come from."""

    async def fetch(
        self, place: Role, image: ImagePart, question: str, budget: Budget | None, *, explain: bool = False
    ) -> EncodedImage:
        """The visual tokens of one image worth keeping for a question; with ``explain`` also why.

        Raises:
            Refusal: the image or the budget can't be used; ``place`` is where the image stands.
            ServiceError: the encoder could not serve it.
        """
        ...

    async def plan(
        self, place: Role, image: ImagePart, question: str, budget: Budget | None, *, explain: bool = False
    ) -> PlannedImage:
        """How many visual tokens ``fetch`` would give, and what they are worth beside another image's; with ``explain``
        also which, and why.

        Raises:
            Refusal, ServiceError: as ``fetch``.
        """
        ...
