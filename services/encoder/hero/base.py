"""A base that no question changes, and a delta that this one adds.

What an engine has read of a prompt serves again as far as the next one begins alike. HERO's tile budgets differ from
question to question, and with them the very first tiles. Where each tile keeps a base in any case, and what is read
begins with the bases of all of them, that much of an image is the same for every question. Ours, not the paper's.
"""

from __future__ import annotations

import torch

from .allocate import allocate
from .config import HeroConfig


def allocate_with_base(
    importance: torch.Tensor, lasting: torch.Tensor, capacity: torch.Tensor, total: int, config: HeroConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Share ``total`` tokens out as ``allocate`` does, but to no tile fewer than its base.

    The bases are a share of ``config.base_share``, by what is important whatever the question. The others go where
    importance wants more than the base: in proportion to what is lacking. Where every token is kept all are base.

    Args:
        importance: [K], none below 0, with the question's relevance.
        lasting: [K], the same without it.
        capacity: int [K], valid patches a tile.
        total: tokens to share, at least 0.
        config: ``base_share``, and how ``allocate`` does.

    Returns:
        base and budgets, int64 [K] each; no base above its budget, no budget above its capacity.
    """
    if total >= int(capacity.sum()):
        full = capacity.to(torch.int64)
        return full, full
    base = allocate(lasting, capacity, int(total * config.base_share), config)
    lacking = (total * importance.double() - base).clamp_min(0)
    return base, base + allocate(lacking, capacity - base, total - int(base.sum()), config)
