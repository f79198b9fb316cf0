"""How many of each tile's ranked rows a question gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from heroserve import MAX_MESSAGE_BYTES
from services.common.budget import Budget, MaxVisualTokens, Retention
from services.common.errors import InvalidArgument
from services.encoder.cache.entry import Entry
from services.encoder.hero import (
    HeroConfig,
    TokenBudget,
    allocate,
    allocate_with_base,
    importance_terms,
    token_budget,
    weigh_terms,
)

# Of an answer; the rest of it is small beside them.
_MAX_ROW_BYTES = MAX_MESSAGE_BYTES - (1 << 20)


@dataclass(frozen=True)
class TokenPlan:
    """A request's token budgets, and why.

    Args:
        counts: rows to keep of each tile, the thumbnail's first.
        base: of these, how many any question would keep under this budget; None where that was not asked for.
        importance: of the local tiles, float32 [K].
        saliency, relevance, density: its terms, float32 [K]; relevance is None where it is switched off.
        fit: of the question and the local tile that fits it best (without any the thumbnail), their cosine over
            relevance's temperature; 0 where relevance is switched off.
    """

    counts: list[int]
    importance: torch.Tensor
    saliency: torch.Tensor
    relevance: torch.Tensor | None
    density: torch.Tensor
    fit: float = 0.0
    base: list[int] | None = None


def plan_tokens(
    entry: Entry,
    question: np.ndarray[Any, np.dtype[np.float32]] | None,
    budget: Budget,
    config: HeroConfig,
    *,
    with_base: bool = False,
) -> TokenPlan:
    """Budgets for one image and one question.

    Args:
        entry: the image.
        question: unit CLIP embedding [D]; None without a relevance model.
        budget: what is asked for.
        config: how importance is weighed and budgets are shared.
        with_base: no tile gets less than what no question changes, see ``allocate_with_base``.
    """
    saliency_cos = torch.tensor(entry.saliency_cos)
    relevance_cos = None if question is None else torch.tensor(entry.relevance) @ torch.tensor(question)
    valid = torch.tensor(entry.valid[1:])
    patches = entry.grid.tile_tokens
    tokens = _tokens(entry, budget, config)
    # Without local tiles there is one embedding, and nothing to share out.
    of_tiles = relevance_cos
    if relevance_cos is not None and not len(valid):
        of_tiles = relevance_cos[:0]
    terms = importance_terms(saliency_cos, of_tiles, valid, patches, config)
    importance = weigh_terms(*terms, config)
    thumbnail = min(tokens.thumbnail, patches)
    base = None
    if with_base:
        saliency, _, density = terms
        bases, local = allocate_with_base(
            importance, weigh_terms(saliency, None, density, config), valid, tokens.local, config
        )
        # Its budget is the same for every question.
        base = [thumbnail, *bases.tolist()]
    else:
        local = allocate(importance, valid, tokens.local, config)
    fit = 0.0 if relevance_cos is None else float(relevance_cos.max()) / config.relevance_temperature
    return TokenPlan([thumbnail, *local.tolist()], importance, *terms, fit, base)


def check_size(plan: TokenPlan, row_bytes: int) -> None:
    """Before rows are read that no message holds, ``row_bytes`` each: those of merged patches are wide.

    Raises:
        InvalidArgument: so many are to be kept.
    """
    kept, limit = sum(plan.counts), _MAX_ROW_BYTES // row_bytes
    if kept > limit:
        raise InvalidArgument(
            "budget",
            f"keeps {kept} visual tokens of {row_bytes} bytes each; an answer holds {limit} of them at most. Lower it, "
            "ask for int8 rows (the LLM service with HEROSERVE_ENCODER_ROWS=int8), or call EncodeStream",
        )


def _tokens(entry: Entry, budget: Budget, config: HeroConfig) -> TokenBudget:
    valid, patches = entry.valid.tolist(), entry.grid.tile_tokens
    match budget:
        case Retention(share):
            return token_budget(valid, patches, config, retention=share)
        case MaxVisualTokens(count):
            return token_budget(valid, patches, config, max_tokens=count)
