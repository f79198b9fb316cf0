"""What a local tile is worth: visual saliency, relevance to the question, density."""

from __future__ import annotations

import torch

from .config import HeroConfig


def saliency_cosines(cls: torch.Tensor) -> torch.Tensor:
    """Cosine of each local tile's CLS state with the thumbnail's.

    Args:
        cls: [T, H], the last hidden state of CLS before ``post_layernorm``.

    Returns:
        float32 [K].
    """
    cls = cls.float()
    return torch.nn.functional.cosine_similarity(cls[1:], cls[:1], dim=-1)


def tile_importance(
    saliency_cos: torch.Tensor,
    relevance_cos: torch.Tensor | None,
    valid: torch.Tensor,
    patches: int,
    config: HeroConfig,
) -> torch.Tensor:
    """i_t = w d_t + (1 - w) (alpha v_t + (1 - alpha) r_t) for each local tile.

    Args:
        saliency_cos: [K], cosines of ``saliency_cosines``.
        relevance_cos: [K], cosine of each tile's CLIP embedding with the question's; None leaves relevance
            out (alpha = 1).
        valid: [K], patches of each tile that are not padding.
        patches: N.
        config: weights and temperatures.

    Returns:
        float32 [K], summing to 1 (less the 1e-6 in the density's denominator).
    """
    return weigh_terms(*importance_terms(saliency_cos, relevance_cos, valid, patches, config), config)


def weigh_terms(
    saliency: torch.Tensor, relevance: torch.Tensor | None, density: torch.Tensor, config: HeroConfig
) -> torch.Tensor:
    """i of ``tile_importance`` from the terms v, r and d of ``importance_terms``, float32 [K]."""
    attention = saliency if relevance is None else config.alpha * saliency + (1 - config.alpha) * relevance
    return config.density_weight * density + (1 - config.density_weight) * attention


def importance_terms(
    saliency_cos: torch.Tensor,
    relevance_cos: torch.Tensor | None,
    valid: torch.Tensor,
    patches: int,
    config: HeroConfig,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """v, r and d of ``tile_importance``, each float32 [K]."""
    saliency = (saliency_cos.float() / config.saliency_temperature).softmax(dim=0)
    relevance = None
    if relevance_cos is not None:
        relevance = (relevance_cos.float() / config.relevance_temperature).softmax(dim=0)
    density = valid.float() / patches
    return saliency, relevance, density / (density.sum() + 1e-6)
