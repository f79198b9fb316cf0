"""The language half of LLaVA-NeXT: projector, splicing, and which weights are the language model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from services.common.checkpoint import Checkpoint
from services.common.weights.stored import main_dtype, stored_tensors
from services.families.family import Splice
from services.families.grid import Grid, Newlines
from services.families.llava_next.facts import checked_config
from services.families.llava_next.projector import LlavaNextProjector
from services.families.llava_next.splice import splice
from services.families.nested import image_token_id, language_weight, text_config


class LlavaNextLanguage:
    """A ``LanguageHalf``."""

    # Nothing tells where an image begins and ends.
    image_bounds = ("", "")

    def __init__(self, source: Checkpoint) -> None:
        self._source = source
        self._config = checked_config(source)
        self.image_token_id = image_token_id(self._config, source)
        self.config: Any = text_config(self._config)

    def language_weight(self, name: str) -> str | None:
        return language_weight(name)

    @property
    def stored_dtype(self) -> torch.dtype:
        return main_dtype(stored_tensors(self._source, self.language_weight))

    def open_projector(self, device: torch.device, dtype: torch.dtype) -> LlavaNextProjector:
        return LlavaNextProjector(self._config, self._source, device, dtype)

    def splice(self, grid: Grid, kept: Sequence[np.ndarray[Any, np.dtype[np.int64]]], newlines: Newlines) -> Splice:
        return splice(grid, kept, newlines)


open_half = LlavaNextLanguage
