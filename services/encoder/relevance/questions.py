"""CLIP embeddings of questions, for a tile's relevance. Runs on the CPU: a cache hit touches no accelerator."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from transformers import CLIPTextModelWithProjection

from services.common.checkpoint import Checkpoint
from services.common.finite import not_finite
from services.common.weights.load import load_pretrained
from services.common.weights.stored import stored_tensors
from services.encoder.relevance.clip import clip_config, clip_tokenizer
from services.families.clip import clean

_CACHED_QUESTIONS = 1024
_CPU = torch.device("cpu")


class QuestionEmbedder:
    """The text tower of a CLIP checkpoint, in float32; on ``meta`` it is only checked."""

    def __init__(self, source: Checkpoint, device: torch.device = _CPU) -> None:
        config = clip_config(source)
        weights = stored_tensors(
            source, lambda name: name if name.startswith("text_model.") or name == "text_projection.weight" else None
        )
        text_config = _with_projection(config.text_config, config.projection_dim)
        self._model = load_pretrained(
            CLIPTextModelWithProjection, text_config, clean(weights), source, device, torch.float32
        )
        self._tokenizer = clip_tokenizer(source)
        self._max_length = config.text_config.max_position_embeddings
        self._known: OrderedDict[str, np.ndarray[Any, np.dtype[np.float32]]] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, question: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The question's unit CLIP embedding, float32 [D]; what is too long for CLIP is cut off.

        Raises:
            FailedPrecondition: it is not finite.
        """
        with self._lock:
            if question in self._known:
                self._known.move_to_end(question)
                return self._known[question]
            tokens = self._tokenizer(question, truncation=True, max_length=self._max_length, return_tensors="pt")
            with torch.inference_mode():
                embedding = self._model(tokens.input_ids, tokens.attention_mask).text_embeds[0]
            # One whose length overflows would become zeros, and relevance the same of all tiles.
            if not bool(embedding.norm().isfinite()):
                raise not_finite("relevance model", "question", embedding.dtype, "HEROSERVE_RELEVANCE_MODEL")
            unit: np.ndarray[Any, np.dtype[np.float32]] = torch.nn.functional.normalize(embedding, dim=0).numpy()
            self._known[question] = unit
            if len(self._known) > _CACHED_QUESTIONS:
                self._known.popitem(last=False)
            return unit


def _with_projection(config: Any, dim: int) -> Any:
    # Old checkpoints keep the width of the shared space only at the top of their config.
    config.projection_dim = dim
    return config
