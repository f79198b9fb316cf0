"""The authors' rules, restated from the text of the method with lists, loops and ``math``.

Shares no code with ``services.encoder.hero``, so that an error there is not repeated here. Everything is
float64; the implementation works in float32, see ``test_reference.py`` for what that means at borders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DENSITY_WEIGHT = 0.2  # w
ALPHA = 0.5
T_CLS = 0.1
T_CLIP = 0.01


@dataclass(frozen=True)
class Image:
    """What one image gives: tile 0 is the thumbnail, the others are local."""

    attention: dict[int, list[list[list[float]]]]  # layer -> [tile][head][patch]
    cls: list[list[float]]  # [tile][hidden]
    relevance_cos: list[float]  # [local tile]
    valid: list[list[bool]]  # [tile][patch]


@dataclass(frozen=True)
class Selection:
    """What is kept, and the real numbers behind each decision."""

    thumbnail: int
    local: list[int]
    masks: list[list[bool]]
    scores: list[list[float]]
    importance: list[float]
    shares: list[float]


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    exps = [math.exp(value - top) for value in values]
    total = sum(exps)
    return [value / total for value in exps]


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def tile_scores(image: Image, tile: int, layers: tuple[int, ...]) -> list[float]:
    """Softmax each CLS row once more, over all patches, padding too; then the mean over heads and layers."""
    patches = len(image.valid[tile])
    total = [0.0] * patches
    rows = 0
    for layer in layers:
        for row in image.attention[layer][tile]:
            again = softmax(row)
            for patch in range(patches):
                total[patch] += again[patch]
            rows += 1
    return [value / rows for value in total]


def importance(saliency_cos: list[float], relevance_cos: list[float], valid: list[int], patches: int) -> list[float]:
    saliency = softmax([cos / T_CLS for cos in saliency_cos])
    relevance = softmax([cos / T_CLIP for cos in relevance_cos])
    fill = [count / patches for count in valid]
    fill_total = sum(fill)
    result = []
    for tile in range(len(valid)):
        density = fill[tile] / (fill_total + 1e-6)
        seen = ALPHA * saliency[tile] + (1 - ALPHA) * relevance[tile]
        result.append(DENSITY_WEIGHT * density + (1 - DENSITY_WEIGHT) * seen)
    return result


def local_shares(importances: list[float], total: int) -> list[float]:
    """Importance times total, as it is: nothing is normalised."""
    return [total * value for value in importances]


def local_budgets(importances: list[float], valid: list[int], total: int) -> list[int]:
    """Floor, cap at what the tile holds, lose the rest."""
    shares = local_shares(importances, total)
    return [min(math.floor(share), count) for share, count in zip(shares, valid, strict=True)]


def keep_mask(scores: list[float], valid: list[bool], budget: int) -> list[bool]:
    """The ``budget`` highest-scored valid patches, found one by one."""
    kept = [False] * len(scores)
    for _ in range(budget):
        best = None
        for patch, score in enumerate(scores):
            if valid[patch] and not kept[patch] and (best is None or score > scores[best]):
                best = patch
        if best is None:
            break
        kept[best] = True
    return kept


def select(image: Image, retention: float, low: tuple[int, ...], high: tuple[int, ...]) -> Selection:
    tiles = len(image.valid)
    local_tiles = tiles - 1
    patches = len(image.valid[0])

    scores = [tile_scores(image, tile, high if tile == 0 else low) for tile in range(tiles)]
    saliency_cos = [cosine(image.cls[tile], image.cls[0]) for tile in range(1, tiles)]
    counts = [sum(image.valid[tile]) for tile in range(1, tiles)]
    worth = importance(saliency_cos, image.relevance_cos, counts, patches)

    thumbnail = int(patches * retention)
    total = int(local_tiles * patches * retention)
    local = local_budgets(worth, counts, total)
    masks = [keep_mask(scores[tile], image.valid[tile], budget) for tile, budget in enumerate([thumbnail, *local])]
    return Selection(thumbnail, local, masks, scores, worth, local_shares(worth, total))
