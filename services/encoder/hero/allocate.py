"""From importance to a number of tokens a tile."""

from __future__ import annotations

import torch

from .config import HeroConfig


def allocate(importance: torch.Tensor, capacity: torch.Tensor, total: int, config: HeroConfig) -> torch.Tensor:
    """Share ``total`` tokens out among the local tiles in proportion to their importance.

    By default everything is spent that fits: a tile that cannot hold its share passes the excess on to the
    others by importance, and fractions go by largest remainder (ties to the earlier tile). The authors'
    rule floors importance times total, caps it and loses the rest.

    Args:
        importance: [K], none below 0.
        capacity: int [K], valid patches a tile.
        total: tokens to share, at least 0.
        config: ``spend_remainder`` picks the rule.

    Returns:
        int64 [K], none above its capacity.
    """
    weight = importance.double()
    room = capacity.to(torch.int64)
    if not config.spend_remainder:
        # As it is: importance sums to a little less than 1, and a share that should be whole loses a token by it.
        return torch.minimum((total * weight).floor().to(torch.int64), room)

    total = min(total, int(room.sum()))
    share = _proportional(weight, room.double(), total)
    kept = torch.minimum(share.floor().to(torch.int64), room)
    remainder = torch.where(kept < room, share - kept, -1.0)
    for tile in remainder.argsort(descending=True, stable=True)[: total - int(kept.sum())]:
        kept[tile] += 1
    return kept


def _proportional(weight: torch.Tensor, room: torch.Tensor, total: int) -> torch.Tensor:
    """Real-valued shares min(room, lambda * weight) that sum to ``total`` (at most the sum of ``room``)."""
    share = torch.zeros_like(weight)
    open_tiles = room > 0
    left = float(total)
    while left > 0 and bool(open_tiles.any()):
        pull = torch.where(open_tiles, weight, 0.0)
        if float(pull.sum()) <= 0:
            # Only tiles without any importance have room left: they fill up evenly by size.
            pull = torch.where(open_tiles, room, 0.0)
        offer = left * pull / pull.sum()
        full = open_tiles & (offer >= room)
        if not bool(full.any()):
            return share + offer
        share = torch.where(full, room, share)
        left -= float(room[full].sum())
        open_tiles = open_tiles & ~full
    return share
