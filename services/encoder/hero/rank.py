"""The order in which a tile's patches are kept. It does not depend on the question: that is what is cached."""

from __future__ import annotations

import torch


def rank(scores: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Positions of a tile's valid patches, best first; equal scores stay in position order.

    Args:
        scores: [N].
        valid: bool [N], False for padding.

    Returns:
        int64 [valid.sum()], on the scores' device.
    """
    positions = valid.nonzero().squeeze(1)
    order = scores[positions].argsort(descending=True, stable=True)
    return positions[order]
