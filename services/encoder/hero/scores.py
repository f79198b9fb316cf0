"""Two-stage CLS attention: what a patch is worth within its tile."""

from __future__ import annotations

import torch

from .config import HeroConfig


def patch_scores(cls_attention: torch.Tensor, config: HeroConfig) -> torch.Tensor:
    """Score the patches of one image's tiles.

    Args:
        cls_attention: [L, T, heads, N], the CLS row of the softmaxed attention without its CLS column;
            L runs over ``config.layers``, or over all blocks of the tower.
        config: which layers the thumbnail (high) and the local tiles (low) read.

    Returns:
        float32 [T, N]: the mean over heads and layers.

    Raises:
        ValueError: L is neither.
    """
    rows = _row_of_layer(cls_attention.shape[0], config)
    attention = cls_attention.float()
    if config.softmax_again:
        attention = attention.softmax(dim=-1)
    per_layer = attention.mean(dim=2)
    thumbnail = per_layer[[rows[layer] for layer in config.high_layers], :1].mean(dim=0)
    local = per_layer[[rows[layer] for layer in config.low_layers], 1:].mean(dim=0)
    return torch.cat([thumbnail, local])


def _row_of_layer(recorded: int, config: HeroConfig) -> dict[int, int]:
    if recorded == len(config.layers):
        return {layer: row for row, layer in enumerate(config.layers)}
    if recorded > config.layers[-1]:
        return {layer: layer for layer in config.layers}
    raise ValueError(
        f"cls_attention has {recorded} layers; expected {len(config.layers)} ({config.layers}) or all of them"
    )
