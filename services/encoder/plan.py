"""How many of each tile's ranked rows a question gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from services.encoder.cache.entry import Entry
from services.encoder.hero import HeroConfig, allocate, importance_terms, token_budget, weigh_terms
from services.encoder.request import EncodeJob


@dataclass(frozen=True)
class TokenPlan:
    """A request's token budgets, and why.

    Args:
        counts: rows to keep of each tile, the thumbnail's first.
        importance: of the local tiles, float32 [K].
        saliency, relevance, density: its terms, float32 [K]; relevance is None where it is switched off.
    """

    counts: list[int]
    importance: torch.Tensor
    saliency: torch.Tensor
    relevance: torch.Tensor | None
    density: torch.Tensor


def plan_tokens(
    entry: Entry,
    question: np.ndarray[Any, np.dtype[np.float32]] | None,
    job: EncodeJob,
    config: HeroConfig,
) -> TokenPlan:
    """Budgets for one image and one question.

    Args:
        entry: the image.
        question: unit CLIP embedding [D]; None without a relevance model.
        job: the budget asked for.
        config: how importance is weighed and budgets are shared.
    """
    saliency_cos = torch.tensor(entry.saliency_cos)
    relevance_cos = None if question is None else torch.tensor(entry.relevance) @ torch.tensor(question)
    valid = torch.tensor(entry.valid[1:])
    patches = entry.plan.patches
    budget = token_budget(entry.valid.tolist(), patches, config, retention=job.retention, max_tokens=job.max_tokens)
    terms = importance_terms(saliency_cos, relevance_cos, valid, patches, config)
    importance = weigh_terms(*terms, config)
    local = allocate(importance, valid, budget.local, config)
    return TokenPlan([min(budget.thumbnail, patches), *local.tolist()], importance, *terms)
