"""A checkpoint as another one, but for its language model: a larger one, of random weights, to measure time on."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration

from models.hub_names import name_as_hub


def with_untrained_language(
    source: Path, folder: Path, *, width: int = 576, layers: int = 30, heads: int = 9, key_heads: int = 3
) -> None:
    """Write it to ``folder``, in bfloat16; by default of the shape of a language model of 135 million parameters.

    Args:
        source: a LLaVA-NeXT, whose tower, tokenizer and chat template it has.
        folder: is not there yet.
        width: D, of the language model.
        layers: of it.
        heads: of its attention.
        key_heads: of its keys and values.
    """
    shutil.copytree(source, folder)
    config = LlavaNextConfig.from_pretrained(source)
    before = config.text_config
    config.text_config = LlamaConfig(
        vocab_size=before.vocab_size,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=before.max_position_embeddings,
        bos_token_id=before.bos_token_id,
        eos_token_id=before.eos_token_id,
        pad_token_id=before.pad_token_id,
    )
    torch.manual_seed(0)
    made = LlavaNextForConditionalGeneration(config).to(torch.bfloat16)
    made.generation_config.eos_token_id = before.eos_token_id
    made.save_pretrained(folder)
    name_as_hub(folder)
