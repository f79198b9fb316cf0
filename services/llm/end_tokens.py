"""Which tokens end an answer."""

from __future__ import annotations

from typing import Any

from transformers import GenerationConfig

from services.common.checkpoint import Checkpoint


def end_tokens(source: Checkpoint, config: Any) -> frozenset[int]:
    """The generation config's, else those of the language model's ``config``."""
    eos = GenerationConfig.from_dict(source.json("generation_config.json")).eos_token_id
    if eos is None:
        eos = config.eos_token_id
    if eos is None:
        return frozenset()
    return frozenset([eos] if isinstance(eos, int) else eos)
