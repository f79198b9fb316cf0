"""What makes a prompt's embeddings: the embedding table, the projector, the newline. No language model, no tower."""

from __future__ import annotations

import torch

from services.common.checkpoint import Checkpoint
from services.common.weights.load import load_tensor
from services.families.family import LanguageHalf
from services.llm.language_model import embedding_of


class Splicer:
    """These weights on a device.

    An engine has an embedding table of its own, for the tokens it generates; it may run in another process.

    Args:
        half: of the checkpoint's family.
        source: the checkpoint.
        device, dtype: to make embeddings on and in.

    Raises:
        SettingError: the checkpoint has no such weights.
    """

    def __init__(self, half: LanguageHalf, source: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        embedding = embedding_of(half.config)
        # Its shape is told with the language model's.
        self._table = load_tensor(
            source,
            lambda name: name if half.language_weight(name) == embedding.weight else None,
            None,
            device,
            dtype,
        )
        self._scale = None if embedding.scale is None else torch.tensor(embedding.scale, device=device).to(dtype)
        self._projector = half.open_projector(device, dtype)

    @property
    def feature_width(self) -> int:
        """H, of the feature rows that the projector takes."""
        return self._projector.feature_width

    @property
    def newline(self) -> torch.Tensor:
        """Embedding of a newline token, [D]."""
        return self._projector.newline

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """int64 [L] to [L, D]."""
        rows = torch.nn.functional.embedding(ids, self._table)
        return rows if self._scale is None else rows * self._scale

    def project(self, features: torch.Tensor) -> torch.Tensor:
        """Feature rows [n, H] of any dtype to the language model's width, [n, D]."""
        return self._projector(features)
