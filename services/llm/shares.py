"""One budget for the images of a request: how much of it each gets."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.common.budget import Budget, MaxVisualTokens
from services.llm.encoded import PlannedImage
from services.llm.refusal import Refusal, Role


def share(budget: Budget | None, images: Sequence[PlannedImage]) -> list[MaxVisualTokens]:
    """What each image may keep, at least 1 and at most what it has; together what they may.

    Half goes by size, as if one retention were for all: a question does not always name what it needs. The other half
    goes by size times how relevant an image is beside the others. Without relevance both are the same.

    Args:
        budget: of all of them; a retention, or None, is of their tokens together.
        images: what each would keep of that budget if it were its own.

    Raises:
        Refusal: there is not one token for each.
    """
    if not isinstance(budget, MaxVisualTokens):
        limit = max(sum(image.kept for image in images), len(images))
    elif budget.count < len(images):
        raise Refusal(
            Role("max_visual_tokens"),
            f"is {budget.count}; shared by {len(images)} images it must be at least {len(images)}",
        )
    else:
        limit = budget.count
    best = max(image.relevance for image in images)
    fits = [math.exp(image.relevance - best) for image in images]
    weights = [
        image.total * (0.5 + 0.5 * len(images) * fit / sum(fits)) for image, fit in zip(images, fits, strict=True)
    ]
    return [MaxVisualTokens(count) for count in _pour(limit, weights, [image.total for image in images])]


def _pour(limit: int, weights: Sequence[float], rooms: Sequence[int]) -> list[int]:
    """``limit`` by weight, whole and at least 1 each; what is over where one is full goes to the others."""
    given = [1] * len(rooms)
    rest = min(limit, sum(rooms)) - len(rooms)
    while rest:
        opened = [index for index, room in enumerate(rooms) if given[index] < room]
        weight = sum(weights[index] for index in opened)
        parts = {index: rest * weights[index] / weight for index in opened}
        more = {index: min(int(part), rooms[index] - given[index]) for index, part in parts.items()}
        if not any(more.values()):
            # Fewer than images are left: one each to the heaviest.
            more = dict.fromkeys(sorted(opened, key=lambda index: weights[index], reverse=True)[:rest], 1)
        for index, count in more.items():
            given[index] += count
            rest -= count
    return given
