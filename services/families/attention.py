"""SDPA that also tells what CLS looks at."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

# The name under which transformers finds it.
ATTENTION = "heroserve_cls_rows"


def attention_with_cls_rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    cls_rows: list[torch.Tensor] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """SDPA never shows its weights; where a list is passed, the CLS row is computed once more, for the list.

    Appends float32 [T, heads, N]: the CLS row of the softmaxed attention without its CLS column.
    """
    if cls_rows is not None:
        logits = query[:, :, :1].float() @ key.float().transpose(-1, -2) * scaling
        cls_rows.append(logits.softmax(dim=-1)[:, :, 0, 1:])
    output: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **kwargs
    )
    return output


AttentionInterface.register(ATTENTION, attention_with_cls_rows)
