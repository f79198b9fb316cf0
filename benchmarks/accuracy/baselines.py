"""The rules that HERO is compared with. Each spends as many tokens on a question as HERO does at the same retention.

All choose among valid patches only, and lose nothing to rounding: kinder than the published code of any of them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from services.encoder.hero import HeroConfig, TokenBudget, allocate, rank, token_budget
from services.families.grid import Grid

from .bench import Sight

Kept = list[NDArray[np.int64]]
Seed = tuple[int, ...]

# Share of HiRED's budget that the thumbnail gets (``alpha`` in its published evaluation scripts).
_HIRED_ALPHA = 0.5


def equal_budget(sight: Sight, retention: float) -> TokenBudget:
    """What HERO keeps of this picture: of the thumbnail, and of the local tiles together."""
    return token_budget(sight.valid, sight.grid.tile_tokens, HeroConfig(), retention=retention)


def hired(sight: Sight, seed: Seed, retention: float) -> Kept:
    """HiRED (arXiv 2408.10945): budgets by what the first layer looks at, patches by what a late one does.

    Of a total budget B the thumbnail gets min(alpha B, N), alpha = 0.5; each local tile a share of the rest in
    proportion to the thumbnail's CLS attention over the tile's region in the *first* layer; in each tile the patches
    with the highest CLS attention of layer 22 of 24, summed over heads, are kept.

    From the paper: the rule. From the authors' code (github.com/hasanar1f/HiRED, modeling_llava_next.py): layers 0 and
    22 and alpha. Where the code is not what the paper says we follow the paper: the code counts, in place of attention
    mass, the thumbnail's N / 2 most looked-at patches, and cuts the raster into runs in place of regions. The code also
    drops every newline; here each method has the newlines the language model was trained with. For a tower of L blocks
    layer 0 stays 0, and 22 of 24 becomes L - 2, in both the block whose output the language model reads.
    """
    grid, valid = sight.grid, sight.valid
    budget = equal_budget(sight, retention)
    total, room = budget.thumbnail + budget.local, sum(valid[1:])
    thumbnail = min(max(int(total * _HIRED_ALPHA), total - room), valid[0])
    content = regions(grid, sight.attention(0)[0])
    local = allocate(content, torch.tensor(valid[1:]), total - thumbnail, HeroConfig())
    late = len(sight.output.cls_attention) - 2
    return _best(sight, sight.attention(max(late, 0)), [thumbnail, *local.tolist()])


def regions(grid: Grid, attention: torch.Tensor) -> torch.Tensor:
    """The thumbnail's attention [N] over the region of each local tile, float64 [K].

    The thumbnail shows the picture without its padding; a patch across a border counts to both sides by area.
    """
    down = _overlap(grid.top, grid.bottom, grid.rows, grid.side)
    across = _overlap(grid.left, grid.right, grid.cols, grid.side)
    seen = attention.double().view(grid.side, grid.side)
    return (down @ seen @ across.T).reshape(-1)


def _overlap(start: int, stop: int, tiles: int, side: int) -> torch.Tensor:
    """Share of each of the thumbnail's patches, along one axis, that lies in each tile: float64 [tiles, side]."""
    edges = torch.linspace(start, stop, side + 1, dtype=torch.float64)
    low = torch.arange(tiles, dtype=torch.float64)[:, None] * side
    inside = torch.minimum(edges[1:], low + side) - torch.maximum(edges[:-1], low)
    return inside.clamp_min(0) / (edges[1:] - edges[:-1])


def last_layer(sight: Sight, seed: Seed, retention: float) -> Kept:
    """The patches the last layer's CLS looks at most (mean over heads), the same share of every tile."""
    return _best(sight, sight.attention(-1), _equal_shares(sight, retention))


def uniform(sight: Sight, seed: Seed, retention: float) -> Kept:
    """Patches spread evenly over each tile's picture, the same share of every tile."""
    counts = _equal_shares(sight, retention)
    return [spread(mask, count) for mask, count in zip(sight.mask, counts, strict=True)]


def spread(mask: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """``count`` positions, evenly spaced in the rectangle of a tile's valid patches, bool [N]: int64 [count]."""
    side = math.isqrt(len(mask))
    rows, cols = (np.unique(axis) for axis in np.divmod(np.flatnonzero(mask), side))
    if not count:
        return np.zeros(0, np.int64)
    high, wide = len(rows), len(cols)
    lines = min(max(round(math.sqrt(count * high / wide)), math.ceil(count / wide)), high, count)
    chosen = []
    for line in range(lines):
        row = rows[int((line + 0.5) * high / lines)]
        here = (line + 1) * count // lines - line * count // lines
        chosen += [row * side + cols[int((place + 0.5) * wide / here)] for place in range(here)]
    return np.array(sorted(chosen), np.int64)


def random(sight: Sight, seed: Seed, retention: float) -> Kept:
    """Any valid patches of thumbnail and tiles, each as likely as the other."""
    budget = equal_budget(sight, retention)
    rng = np.random.default_rng((*seed, round(retention * 1000)))
    tile, position = np.nonzero(sight.mask)
    chosen = rng.permutation(len(tile))[: budget.thumbnail + budget.local]
    return [np.sort(position[chosen[tile[chosen] == t]]) for t in range(len(sight.mask))]


def thumbnail_only(sight: Sight, seed: Seed, retention: float) -> Kept:
    """The whole thumbnail and no local tile, whatever the retention."""
    return [np.flatnonzero(sight.mask[0]), *(np.zeros(0, np.int64) for _ in sight.mask[1:])]


def nothing(sight: Sight, seed: Seed, retention: float) -> Kept:
    """No visual token: what can be guessed from the question."""
    return [np.zeros(0, np.int64) for _ in sight.mask]


def _equal_shares(sight: Sight, retention: float) -> list[int]:
    budget = equal_budget(sight, retention)
    valid = torch.tensor(sight.valid[1:])
    return [budget.thumbnail, *allocate(valid.double(), valid, budget.local, HeroConfig()).tolist()]


def _best(sight: Sight, scores: torch.Tensor, counts: list[int]) -> Kept:
    masks = torch.from_numpy(sight.mask)
    best = (rank(score, mask)[:count] for score, mask, count in zip(scores, masks, counts, strict=True))
    return [np.sort(positions.numpy()) for positions in best]
