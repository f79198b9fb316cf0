"""From token ids and visual tokens to what the language model is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from heroserve.v1.encoder_pb2 import Features, VisualTokens
from services.llm.layout import NEWLINE, ImageLayout
from services.llm.model import LanguageModel

_DTYPES = {
    Features.FLOAT32: torch.float32,
    Features.FLOAT16: torch.float16,
    Features.BFLOAT16: torch.bfloat16,
}


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for an engine.

    Args:
        embeddings: [L, D] in the model's dtype, on its device.
        position_ids: int64 [L], ascending.
        next_position: of the first generated token.
    """

    embeddings: torch.Tensor
    position_ids: torch.Tensor
    next_position: int

    def __len__(self) -> int:
        return len(self.embeddings)


def unpack(features: Features) -> torch.Tensor:
    """Feature rows off the wire, [rows, cols] in their own dtype; int8 rows as float32.

    Raises:
        ValueError: an unknown dtype, or another number of bytes than rows x cols need.
    """
    if features.dtype == Features.INT8:
        return _unpack_int8(features)
    dtype = _DTYPES.get(features.dtype)
    if dtype is None:
        raise ValueError(f"features have an unknown dtype {features.dtype}")
    _check_bytes(features, features.cols * dtype.itemsize)
    if not features.rows:
        return torch.empty(0, features.cols, dtype=dtype)
    return torch.frombuffer(bytearray(features.data), dtype=dtype).view(features.rows, features.cols)


def _unpack_int8(features: Features) -> torch.Tensor:
    _check_bytes(features, 4 + features.cols)
    row = np.dtype([("scale", "<f4"), ("values", "i1", (features.cols,))])
    rows = np.frombuffer(features.data, row)
    return torch.from_numpy(rows["values"].astype(np.float32) * rows["scale"][:, None])


def _check_bytes(features: Features, row_bytes: int) -> None:
    wanted = features.rows * row_bytes
    if len(features.data) != wanted:
        raise ValueError(f"features are {len(features.data)} bytes in place of {wanted}")


@torch.inference_mode()
def assemble(
    model: LanguageModel,
    ids: Sequence[int],
    image_token_id: int,
    images: Sequence[tuple[VisualTokens, ImageLayout]],
    *,
    original_positions: bool,
) -> Prompt:
    """Embed the text, project the visual tokens, and put each image's where its placeholder stands.

    Args:
        model: gives embeddings and projections.
        ids: the prompt, one ``image_token_id`` an image.
        image_token_id: the placeholder.
        images: in the order of their placeholders.
        original_positions: number tokens as if nothing had been dropped (else: without gaps).

    Raises:
        ValueError: placeholders and images do not match.
    """
    text = model.embed(torch.tensor(ids, device=model.device))
    pieces: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    position = start = 0
    placeholders = [index for index, token in enumerate(ids) if token == image_token_id]
    for index, (tokens, layout) in zip(placeholders, images, strict=True):
        pieces += [text[start:index], _embed_image(model, tokens, layout)]
        positions += [torch.arange(position, position + index - start)]
        position += index - start
        if original_positions:
            positions.append(position + torch.from_numpy(layout.position))
            position += layout.full_length
        else:
            positions.append(torch.arange(position, position + len(layout.source)))
            position += len(layout.source)
        start = index + 1
    pieces.append(text[start:])
    positions.append(torch.arange(position, position + len(ids) - start))
    return Prompt(torch.cat(pieces), torch.cat(positions).to(model.device), position + len(ids) - start)


def _embed_image(model: LanguageModel, tokens: VisualTokens, layout: ImageLayout) -> torch.Tensor:
    projected = model.project(unpack(tokens.features))
    # The newline stands behind the last row, where index -1 finds it.
    table = torch.cat([projected, model.image_newline[None]])
    source = torch.from_numpy(layout.source).to(model.device)
    return table[torch.where(source == NEWLINE, len(projected), source)]
