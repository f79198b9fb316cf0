"""The language half of a LLaVA-NeXT checkpoint: language model, projector, newline. No vision tower."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.models.llava_next.modeling_llava_next import LlavaNextMultiModalProjector

from services.common import checkpoint as checkpoints
from services.common.checkpoint import Checkpoint, prefixed
from services.llm.settings import LlmSettings

# Older checkpoints nest the head in the language model, newer ones nest both in the model.
_BODY = ("model.language_model.", "language_model.model.")
_HEAD = ("language_model.lm_head.", "lm_head.")
_NEWLINE = ("image_newline", "model.image_newline")


class LanguageModel:
    """Weights on a device, and the few operations that an engine and the assembler need."""

    def __init__(self, settings: LlmSettings) -> None:
        source = Checkpoint(settings.model, "HEROSERVE_MODEL")
        config = source.llava_next()
        self.device = checkpoints.pick_device(settings.device)
        self.dtype = checkpoints.pick_dtype(settings.dtype, self.device)
        self.config: Any = config.text_config
        # In a checkpoint of several models, what ties the head to the embeddings stands at the top.
        self.config.tie_word_embeddings = config.tie_word_embeddings or config.text_config.tie_word_embeddings
        self.causal_lm = self._load_language_model(source)
        self._projector = LlavaNextMultiModalProjector(config)
        weights = source.tensors(prefixed("multi_modal_projector.", "model.multi_modal_projector."))
        checkpoints.load(self._projector, weights, source)
        self._projector.to(self.device, self.dtype).eval()
        newline = source.tensors(lambda name: name if name in _NEWLINE else None)
        self.image_newline = next(iter(newline.values())).to(self.device, self.dtype)
        self.eos_token_ids = _eos_token_ids(source, self.config)

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        return int(self.config.max_position_embeddings)

    @property
    def feature_width(self) -> int:
        """Width of the visual features that the projector takes."""
        return int(self._projector.linear_1.in_features)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """int64 [L] to [L, D]."""
        embeddings: torch.Tensor = self.causal_lm.get_input_embeddings()(ids)
        return embeddings

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Visual features [n, H] of any dtype to the language model's width, [n, D]."""
        projected: torch.Tensor = self._projector(features.to(self.device, self.dtype))
        return projected

    def _load_language_model(self, source: Checkpoint) -> Any:
        def select(name: str) -> str | None:
            body = prefixed(*_BODY)(name)
            if body is not None:
                return f"model.{body}"
            head = prefixed(*_HEAD)(name)
            return None if head is None else f"lm_head.{head}"

        architecture = MODEL_FOR_CAUSAL_LM_MAPPING[type(self.config)]
        model, report = architecture.from_pretrained(
            None,
            config=self.config,
            state_dict=source.tensors(select),
            dtype=self.dtype,
            output_loading_info=True,
            # Told with the other misfits, below.
            ignore_mismatched_sizes=True,
        )
        problems = {kind: names for kind, names in report.items() if names}
        if problems:
            raise source.unusable(f"language model weights do not fit the config: {problems}")
        return model.to(self.device).eval()


def _eos_token_ids(source: Checkpoint, config: Any) -> frozenset[int]:
    """Tokens that end an answer: the generation config's, else the model's."""
    eos = GenerationConfig.from_dict(source.json("generation_config.json")).eos_token_id
    if eos is None:
        eos = config.eos_token_id
    if eos is None:
        return frozenset()
    return frozenset([eos] if isinstance(eos, int) else eos)
