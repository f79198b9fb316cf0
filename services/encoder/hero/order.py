"""The order in which each tile's patches are kept: by score and novelty, or by score alone.

Both are nested: what is kept of a tile under a smaller budget is kept under every larger one, and neither depends on
the question. That is what lets an image be ranked once, and sliced for every question.
"""

from __future__ import annotations

import torch

from .config import HeroConfig
from .rank import rank

# A patch whose part that is new is a smaller share of its quality's square than this is a copy: what tells it from
# another one is rounding.
_COPY = 1e-4
# Values of the kernels that are held at a time (256 MB).
_KERNEL_VALUES = 1 << 26


def order_tiles(
    scores: torch.Tensor, features: torch.Tensor, valid: torch.Tensor, config: HeroConfig
) -> list[torch.Tensor]:
    """Positions of each tile's valid patches, in the order in which a budget keeps them.

    Args:
        scores: [T, N] of ``patch_scores``, of any number of images.
        features: [T, N, H], what the language model will read; not looked at with ``order="score"``.
        valid: bool [T, N], False for padding.
        config: ``order`` and ``quality_floor``.

    Returns:
        T x int64 [valid[t].sum()], on the scores' device.
    """
    by_score = [rank(score, mask) for score, mask in zip(scores, valid, strict=True)]
    if config.order == "score":
        return by_score
    quality = patch_quality(scores, valid, config)
    at_once = max(1, _KERNEL_VALUES // valid.shape[1] ** 2)
    parts = [slice(start, start + at_once) for start in range(0, len(valid), at_once)]
    places = torch.cat([greedy_places(quality[part], features[part], valid[part]) for part in parts])
    # Stable: those that were not chosen share a place behind, and stay in the order of their scores.
    return [order[place[order].argsort(stable=True)] for order, place in zip(by_score, places, strict=True)]


def patch_quality(scores: torch.Tensor, valid: torch.Tensor, config: HeroConfig) -> torch.Tensor:
    """q: scores from 0 to 1 between a tile's least and greatest valid one, plus ``quality_floor``; float32 [T, N]."""
    scores = scores.float()
    least = scores.masked_fill(~valid, torch.inf).amin(dim=1, keepdim=True)
    greatest = scores.masked_fill(~valid, -torch.inf).amax(dim=1, keepdim=True)
    spread = (greatest - least).clamp_min(torch.finfo(torch.float32).tiny)
    return ((scores - least) / spread).clamp(0, 1) + config.quality_floor


def greedy_places(quality: torch.Tensor, features: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """When each patch is chosen by the greedy search for the most probable set of a determinantal point process.

    The kernel is L_ij = q_i S_ij q_j, S the cosine of two patches' features (Kulesza and Taskar, arXiv 1207.6083,
    section 3.1), so a set is the likelier the better its patches are and the less they are like each other. At each
    step the patch is taken whose part that those before it do not span is greatest: with a Cholesky factor that grows
    by a row a step (Chen et al., arXiv 1709.05135), all tiles at once. After half of a tile's patches, or when what is
    left of it are copies, it is left to the scores: the budgets where order matters are smaller, and the cost grows
    with the square of the steps.

    Args:
        quality: q > 0, float32 [T, N].
        features: [T, N, H], any float dtype.
        valid: bool [T, N].

    Returns:
        int64 [T, N]: the step at which a patch was chosen, from 0; N for those that were not.
    """
    tiles, patches = quality.shape
    limits = (valid.sum(dim=1) + 1) // 2
    steps = int(limits.max()) if tiles else 0
    unit = torch.nn.functional.normalize(features.float(), dim=-1)
    kernel = quality[:, :, None] * (unit @ unit.mT) * quality[:, None, :]
    # Of each patch: the square of its part that is not in the span of those chosen, 0 for what may not be chosen.
    new = quality.square().masked_fill(~valid, 0)
    least = _COPY * quality.square()
    factor = kernel.new_empty(tiles, steps, patches)
    places = torch.full((tiles, patches), patches, device=quality.device)
    tile = torch.arange(tiles, device=quality.device)
    for step in range(steps):
        gain, chosen = new.max(dim=1)
        taken = (gain > least[tile, chosen]) & (step < limits)
        before = factor[:, :step]
        known = (before[tile, :, chosen][:, None, :] @ before)[:, 0]
        row = (kernel[tile, chosen] - known) / gain.clamp_min(torch.finfo(torch.float32).tiny).sqrt()[:, None]
        row = row.masked_fill(~taken[:, None], 0)
        factor[:, step] = row
        new = (new - row.square()).clamp_min(0)
        new[tile, chosen] = 0
        places[tile, chosen] = torch.where(taken, step, places[tile, chosen])
    return places
