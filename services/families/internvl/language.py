"""The language half of InternVL: projector, splicing, and which weights are the language model's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from services.common.checkpoint import Checkpoint
from services.common.weights.stored import main_dtype, stored_tensors
from services.families.family import Splice
from services.families.grid import Grid, Newlines
from services.families.internvl.facts import checked_config
from services.families.internvl.projector import InternVLProjector
from services.families.internvl.splice import splice
from services.families.nested import image_token_id, language_weight, text_config


class InternVLLanguage:
    """A ``LanguageHalf``."""

    def __init__(self, source: Checkpoint) -> None:
        self._source = source
        self._config = checked_config(source)
        self.image_token_id = image_token_id(self._config, source)
        self.config: Any = text_config(self._config)

    @cached_property
    def image_bounds(self) -> tuple[str, str]:
        tokenizer = self._source.tokenizer()
        # By the tokenizer's own names for them, as Hugging Face's processor finds them.
        start, end = (self._named(tokenizer, name) for name in ("start_image_token", "end_image_token"))
        placeholder = self._named(tokenizer, "context_image_token")
        if tokenizer.convert_tokens_to_ids(placeholder) != self.image_token_id:
            raise self._source.unusable(
                f"its tokenizer's context_image_token is {placeholder!r} "
                f"({tokenizer.convert_tokens_to_ids(placeholder)}), its config's image_token_id {self.image_token_id}: "
                "the two are not of one model"
            )
        return start, end

    def language_weight(self, name: str) -> str | None:
        return language_weight(name)

    @property
    def stored_dtype(self) -> torch.dtype:
        return main_dtype(stored_tensors(self._source, self.language_weight))

    def open_projector(self, device: torch.device, dtype: torch.dtype) -> InternVLProjector:
        return InternVLProjector(self._config, self._source, device, dtype)

    def splice(self, grid: Grid, kept: Sequence[np.ndarray[Any, np.dtype[np.int64]]], newlines: Newlines) -> Splice:
        return splice(grid, kept, newlines)

    def _named(self, tokenizer: Any, name: str) -> str:
        token = getattr(tokenizer, name, None)
        if not isinstance(token, str) or token not in tokenizer.get_vocab():
            raise self._source.unusable(
                f"its tokenizer has no {name}, by which InternVL's prompts are made; name it in tokenizer_config.json, "
                "as checkpoints in Hugging Face's form (-hf) do"
            )
        return token


open_half = InternVLLanguage
