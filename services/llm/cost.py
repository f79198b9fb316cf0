"""What a prompt costs a language model, to tell what dropped tokens saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from services.llm.language_model import language_model


@dataclass(frozen=True)
class PromptCost:
    """Cost of prefilling n tokens, by the usual counts for a decoder-only transformer.

    Args:
        matmul_parameters: weights each token is multiplied with: all but the embedding table and the head.
        layers, attention_width: blocks, and heads x head size.
        kv_bytes: keys and values of one token over all layers.
    """

    matmul_parameters: int
    layers: int
    attention_width: int
    kv_bytes: int

    def flops(self, tokens: int) -> float:
        """2 P n for the projections, and 2 n^2 d a layer for causal attention (QK^T and AV, half of each)."""
        projections = 2.0 * self.matmul_parameters * tokens
        return projections + 2.0 * self.layers * self.attention_width * float(tokens) ** 2

    @classmethod
    def of(cls, config: Any, kv_dtype: torch.dtype) -> PromptCost:
        """Of a language model, from its transformers config alone: an engine may keep its weights elsewhere, or packed.

        Args:
            config: the language model's.
            kv_dtype: of its KV cache.
        """
        # A model without memory: its modules know their shapes.
        with torch.device("meta"):
            model = language_model(config)(config)
        outside = {
            id(parameter)
            for module in (model.get_input_embeddings(), model.get_output_embeddings())
            for parameter in module.parameters()
        }
        inside = sum(p.numel() for p in model.parameters() if id(p) not in outside)
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        layers = config.num_hidden_layers
        return cls(inside, layers, heads * size, 2 * layers * kv_heads * size * kv_dtype.itemsize)
