"""From token ids and visual tokens to what the language model is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from services.families.family import NEWLINE, Splice
from services.llm.splicer import Splicer


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for an engine.

    Args:
        embeddings: [L, D] in the model's dtype, on its device.
        position_ids: int64 [L], ascending.
        next_position: of the first generated token.
        token_ids: int64 [L], what each was made from; a visual or newline token is its image's placeholder. None where
            nobody knows.
    """

    embeddings: torch.Tensor
    position_ids: torch.Tensor
    next_position: int
    token_ids: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings)


@torch.inference_mode()
def assemble(
    splicer: Splicer,
    ids: Sequence[int],
    image_token_id: int,
    images: Sequence[tuple[torch.Tensor, Splice]],
    *,
    original_positions: bool,
) -> Prompt:
    """Embed the text, project the visual tokens, and put each image's where its placeholder stands.

    Args:
        splicer: gives embeddings and projections.
        ids: the prompt, one ``image_token_id`` an image.
        image_token_id: the placeholder.
        images: features [n, H] and their order, in the order of their placeholders.
        original_positions: number tokens as if nothing had been dropped (else: without gaps).

    Raises:
        ValueError: placeholders and images do not match.
    """
    given = torch.tensor(ids, device=splicer.device)
    # Nobody reads a placeholder's embedding, and it may have none.
    text = splicer.embed(given.masked_fill(given == image_token_id, 0))
    pieces: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    lengths = torch.ones_like(given)
    position = start = 0
    placeholders = [index for index, token in enumerate(ids) if token == image_token_id]
    for index, (features, splice) in zip(placeholders, images, strict=True):
        pieces += [text[start:index], _embed_image(splicer, features, splice)]
        positions += [torch.arange(position, position + index - start)]
        position += index - start
        if original_positions:
            positions.append(position + torch.from_numpy(splice.position))
            position += splice.full_length
        else:
            positions.append(torch.arange(position, position + len(splice)))
            position += len(splice)
        lengths[index] = len(splice)
        start = index + 1
    pieces.append(text[start:])
    positions.append(torch.arange(position, position + len(ids) - start))
    return Prompt(
        torch.cat(pieces),
        torch.cat(positions).to(splicer.device),
        position + len(ids) - start,
        given.repeat_interleave(lengths),
    )


def _embed_image(splicer: Splicer, features: torch.Tensor, splice: Splice) -> torch.Tensor:
    projected = splicer.project(features)
    # The newline stands behind the last row, where index -1 finds it.
    table = torch.cat([projected, splicer.newline[None]])
    source = torch.from_numpy(splice.source).to(splicer.device)
    return table[torch.where(source == NEWLINE, len(projected), source)]
