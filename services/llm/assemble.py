"""From token ids and visual tokens to what an engine reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from services.families.family import NEWLINE, Splice
from services.llm.job import Turn
from services.llm.splicer import Splicer


@dataclass(frozen=True)
class Span:
    """An image in a prompt.

    Args:
        start: of its tokens, counted in the prompt's.
        embeddings: [n, D] in the splicer's dtype, on its device: its visual and newline tokens.
    """

    start: int
    embeddings: torch.Tensor

    @property
    def end(self) -> int:
        """Where what follows it begins."""
        return self.start + len(self.embeddings)


@dataclass(frozen=True)
class Prompt:
    """A prompt ready for an engine. Its text has no embeddings yet: an engine has the table for that.

    Args:
        token_ids: int64 [L]; a visual or newline token is its image's placeholder, which needs no embedding.
        images: in order, without overlaps.
        position_ids: int64 [L], ascending.
        next_position: of the first generated token.
        turns: what was made into ``token_ids``, for an engine that has texts read elsewhere.
    """

    token_ids: torch.Tensor
    images: tuple[Span, ...]
    position_ids: torch.Tensor
    next_position: int
    turns: tuple[Turn, ...] = ()

    def __len__(self) -> int:
        return len(self.token_ids)

    def is_text(self) -> torch.Tensor:
        """bool [L]: which tokens have an id that counts."""
        text = torch.ones(len(self), dtype=torch.bool)
        for image in self.images:
            text[image.start : image.end] = False
        return text

    def embed(self, table: Callable[[torch.Tensor], torch.Tensor], device: torch.device) -> torch.Tensor:
        """All of it as [L, D] on ``device``, with a ``table`` that makes int64 [n] there into [n, D]."""
        text = self.is_text()
        rows = table(self.token_ids[text].to(device))
        whole = rows.new_empty(len(self), rows.shape[-1])
        whole[text.to(device)] = rows
        for image in self.images:
            whole[image.start : image.end] = image.embeddings
        return whole


@torch.inference_mode()
def assemble(
    splicer: Splicer,
    ids: Sequence[int],
    image_token_id: int,
    images: Sequence[tuple[torch.Tensor, Splice]],
    *,
    original_positions: bool,
    turns: tuple[Turn, ...] = (),
) -> Prompt:
    """Project the visual tokens, and make room for each image's where its placeholder stands.

    Args:
        splicer: projects.
        ids: the prompt, one ``image_token_id`` an image.
        image_token_id: the placeholder.
        images: features [n, H] and their order, in the order of their placeholders.
        original_positions: number tokens as if nothing had been dropped (else: without gaps).
        turns: see ``Prompt``.

    Raises:
        ValueError: placeholders and images do not match.
    """
    given = torch.tensor(ids)
    lengths = torch.ones_like(given)
    spans: list[Span] = []
    positions: list[torch.Tensor] = []
    length = position = start = 0
    placeholders = [index for index, token in enumerate(ids) if token == image_token_id]
    for index, (features, splice) in zip(placeholders, images, strict=True):
        positions.append(torch.arange(position, position + index - start))
        position += index - start
        spans.append(Span(length + index - start, _embed_image(splicer, features, splice)))
        length = spans[-1].end
        if original_positions:
            positions.append(position + torch.from_numpy(splice.position))
            position += splice.full_length
        else:
            positions.append(torch.arange(position, position + len(splice)))
            position += len(splice)
        lengths[index] = len(splice)
        start = index + 1
    positions.append(torch.arange(position, position + len(ids) - start))
    return Prompt(
        given.repeat_interleave(lengths),
        tuple(spans),
        torch.cat(positions),
        position + len(ids) - start,
        turns,
    )


def _embed_image(splicer: Splicer, features: torch.Tensor, splice: Splice) -> torch.Tensor:
    projected = splicer.project(features)
    # The newline stands behind the last row, where index -1 finds it.
    table = torch.cat([projected, splicer.newline[None]])
    source = torch.from_numpy(splice.source).to(splicer.device)
    return table[torch.where(source == NEWLINE, len(projected), source)]
