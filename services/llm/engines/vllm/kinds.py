"""Which language models vLLM reads as Hugging Face does, told before one is loaded."""

from __future__ import annotations

from typing import Any

from services.common.checkpoint import Checkpoint
from services.llm.export.config import architecture


def check_kind(config: Any, source: Checkpoint, device: str) -> None:
    """Args:
        config: the language model's.
        source: the checkpoint.
        device: that it is to run on: cpu, cuda.

    Raises:
        SettingError: vLLM has no such model, or can't compute its attention there.
    """
    from vllm import ModelRegistry

    name = architecture(config)
    if name not in ModelRegistry.get_supported_archs():
        raise source.unusable(
            f"its language model is a {config.model_type!r}, and vLLM has no {name}; set HEROSERVE_ENGINE to "
            "'transformers'"
        )
    if device == "cpu":
        _check_heads(config, source)


def _check_heads(config: Any, source: Checkpoint) -> None:
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    sizes = CPUAttentionBackend.get_supported_head_sizes()
    if sizes and size not in sizes:
        raise source.unusable(
            f"its attention heads have {size} values, and vLLM's on a CPU may have {', '.join(map(str, sizes))}; "
            "set HEROSERVE_ENGINE to 'transformers'"
        )
