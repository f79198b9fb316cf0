"""From a retention or a number of tokens to the thumbnail's and the local tiles' budgets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .config import HeroConfig

# 0.29 * 100 is 28.999999999999996: a whole number of tokens must survive the product.
_EPSILON = 1e-9


@dataclass(frozen=True)
class TokenBudget:
    """Tokens to keep: of the thumbnail, and of all local tiles together."""

    thumbnail: int
    local: int


def token_budget(
    valid: list[int],
    patches: int,
    config: HeroConfig,
    *,
    retention: float | None = None,
    max_tokens: int | None = None,
) -> TokenBudget:
    """Split a budget as the paper does: the thumbnail N R, the local tiles K N R between them.

    The default counts valid patches in place of K N, so that R = 1 keeps exactly what the model would have
    seen, and never gives the language model an image without a token. ``max_tokens`` is spent exactly, in
    the same proportion.

    Args:
        valid: patches of each tile that are not padding, the thumbnail's first.
        patches: N.
        config: ``count_padding`` picks the authors' rule.
        retention: R in (0, 1].
        max_tokens: at least 1; above the image's tokens it keeps them all.

    Raises:
        ValueError: both or neither of ``retention`` and ``max_tokens``, or one out of range.
    """
    if (retention is None) == (max_tokens is None):
        raise ValueError("give either retention or max_tokens")
    local = patches * (len(valid) - 1) if config.count_padding else sum(valid[1:])
    if max_tokens is not None:
        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {max_tokens}")
        tokens = min(max_tokens, patches + local)
        thumbnail = max(1, tokens * patches // (patches + local))
        return TokenBudget(thumbnail, tokens - thumbnail)
    if retention is None or not 0 < retention <= 1:
        raise ValueError(f"retention must lie in (0, 1], not {retention}")
    if config.count_padding:
        return TokenBudget(int(patches * retention), int(local * retention))
    thumbnail = max(1, math.floor(patches * retention + _EPSILON))
    return TokenBudget(thumbnail, math.floor(local * retention + _EPSILON))
