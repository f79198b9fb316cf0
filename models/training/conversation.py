"""Many questions about one image in one pass, each as if it were asked alone.

LLaVA packs the turns of a conversation behind one image. Here the questions do not see each other: each attends to the
image and to itself, at the positions it would have alone, so that training sees exactly what serving will.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast

from models.world.questions import Question

IGNORE = -100
_PADDING, _IMAGE = -2, -1


@dataclass(frozen=True)
class Segments:
    """Questions and answers of one image, one after the other: int64 [S] each.

    Args:
        ids: tokens.
        owner: which question a token belongs to.
        place: its place in that question.
        targets: the token to come, -100 where nothing is learnt.
    """

    ids: torch.Tensor
    owner: torch.Tensor
    place: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class Packed:
    """A batch ready for the language model.

    Args:
        embeddings: [B, S, D].
        mask: additive, [B, 1, S, S].
        positions: int64 [B, S].
        targets: int64 [B, S], -100 where nothing is learnt.
        owner: int64 [B, S], the question of each token; below 0 for image and padding.
    """

    embeddings: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    owner: torch.Tensor


def tokenize(questions: Sequence[Question], tokenizer: PreTrainedTokenizerFast) -> Segments:
    """What follows the image in the chat template, with the answer and its end."""
    ids: list[int] = []
    owner: list[int] = []
    place: list[int] = []
    targets: list[int] = []
    for index, question in enumerate(questions):
        prompt = tokenizer(f"{question.text}<|assistant|>", add_special_tokens=False).input_ids
        answer = [*tokenizer(question.answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        ids += prompt + answer[:-1]
        targets += [IGNORE] * (len(prompt) - 1) + answer
        owner += [index] * (len(prompt) + len(answer) - 1)
        place += range(len(prompt) + len(answer) - 1)
    return Segments(*map(torch.tensor, (ids, owner, place, targets)))


def prompt_prefix(tokenizer: PreTrainedTokenizerFast, before: str, behind: str) -> tuple[list[int], list[int]]:
    """Token ids before and behind the image, of what stands there."""
    return tokenizer(before).input_ids, tokenizer(behind, add_special_tokens=False).input_ids


def pack(prefixes: Sequence[torch.Tensor], segments: Sequence[Segments], embedding: torch.nn.Embedding) -> Packed:
    """Put each image's questions behind it.

    Args:
        prefixes: for each image [P, D], all up to the question.
        segments: its questions.
        embedding: the language model's.
    """
    device = prefixes[0].device
    embeddings, owners, positions, targets = [], [], [], []
    for prefix, segment in zip(prefixes, segments, strict=True):
        length = len(prefix)
        embeddings.append(torch.cat([prefix, embedding(segment.ids.to(device))]))
        owners.append(torch.cat([torch.full((length,), _IMAGE), segment.owner]))
        positions.append(torch.cat([torch.arange(length), length + segment.place]))
        targets.append(torch.cat([torch.full((length,), IGNORE), segment.targets]))
    owner = pad_sequence(owners, batch_first=True, padding_value=_PADDING).to(device)
    place = torch.arange(owner.shape[1], device=device)
    sees = (owner[:, None, :] == _IMAGE) | (owner[:, None, :] == owner[:, :, None])
    # Padding sees itself, for a row of nothing has no softmax.
    sees = sees & (place[None, None] <= place[None, :, None])
    packed = pad_sequence(embeddings, batch_first=True)
    return Packed(
        packed,
        torch.where(sees, 0.0, torch.finfo(packed.dtype).min)[:, None],
        pad_sequence(positions, batch_first=True).to(device),
        pad_sequence(targets, batch_first=True, padding_value=IGNORE).to(device),
        owner,
    )
