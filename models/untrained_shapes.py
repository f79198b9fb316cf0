"""Untrained checkpoints with a real tower and a language model of a real shape, to measure time and memory on.

What weights say changes neither, so that they stand for the published models of these shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig

from models.untrained import LANGUAGE, TOWER, build, build_clip

CLIP_L = CLIPVisionConfig(
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=24,
    num_attention_heads=16,
    image_size=336,
    patch_size=14,
    projection_dim=768,
)
# Its tiles and its rows, and little between: for what does not wait for a tower.
CLIP_L_ROWS = CLIPVisionConfig(
    hidden_size=1024,
    intermediate_size=1024,
    num_hidden_layers=4,
    num_attention_heads=16,
    image_size=336,
    patch_size=14,
    projection_dim=512,
)
# What compares tiles with questions where a checkpoint brings no CLIP of its own.
CLIP_B = CLIPVisionConfig(
    hidden_size=768,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=12,
    image_size=224,
    patch_size=32,
    projection_dim=512,
)

# OpenAI's CLIPs have learnt it, so that questions differ in what they find relevant: ln 100.
_LEARNT = math.log(100)


@dataclass(frozen=True)
class Shape:
    """Attributes: tower; relevance: the tower of the CLIP beside it; language: in words of ``LlamaConfig``."""

    tower: CLIPVisionConfig
    relevance: CLIPVisionConfig
    language: Mapping[str, Any]

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token over all layers, in bfloat16."""
        words = self.language
        size = words["hidden_size"] // words["num_attention_heads"]
        return int(2 * words["num_hidden_layers"] * words["num_key_value_heads"] * size * 2)


def _language(width: int, inside: int, layers: int, heads: int, key_heads: int, vocabulary: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inside,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "vocab_size": vocabulary,
        "tie_word_embeddings": True,
        # As much as five pictures of 2 x 2 tiles take.
        "max_position_embeddings": 16384,
    }


SHAPES = {
    # With heads of a size that vLLM's kernels for processors have.
    "tiny": Shape(TOWER, TOWER, {**LANGUAGE, "hidden_size": 128}),
    # SmolLM-135M's and Llama-3.2-1B's.
    "135m": Shape(CLIP_L, CLIP_B, _language(576, 1536, 30, 9, 3, 49152)),
    "1b": Shape(CLIP_L, CLIP_B, _language(2048, 8192, 16, 32, 8, 128256)),
}


def make(name: str, folder: Path) -> tuple[Path, Path]:
    """The checkpoint of a shape, in bfloat16, and a CLIP for relevance: in ``folder``, written where they are not yet.

    Every answer of it is text: it says nothing but two letters.
    """
    shape = SHAPES[name]
    model, clip = folder / name, folder / f"{name}-relevance"
    done = folder / f"{name}-is-whole"
    if not done.exists():
        build(model, 0, shape.tower, shape.language, dtype=torch.bfloat16, clip=False, says=("a", "b"))
        build_clip(clip, shape.relevance, logit_scale=_LEARNT)
        done.touch()
    return model, clip
