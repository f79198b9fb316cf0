"""Is the greedy answer the right one? Told by one forward pass, with the right answer fed to the model.

Greedy decoding gives the right tokens and then stops exactly if, with the right answer before it, each of them and then
an end token is the likeliest: up to the first that is not, both have read the same. (An answer that spells the right
word in other tokens than the tokenizer's counts as wrong.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from services.llm.assemble import Prompt
from services.llm.engines.transformers import TransformersEngine

# Tokens of a batch, padding included: larger ones fall out of a core's cache.
_BATCH_TOKENS = 1024


@dataclass(frozen=True)
class Forced:
    """A prompt and the right answer to it, without its end token."""

    prompt: Prompt
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@torch.inference_mode()
def is_right(engine: TransformersEngine, items: Sequence[Forced]) -> list[bool]:
    """For each, whether greedy decoding would give exactly its answer. Items of like length go together."""
    right = [False] * len(items)
    for batch in _batches(items):
        for index, verdict in zip(batch, _judge(engine, [items[index] for index in batch]), strict=True):
            right[index] = verdict
    return right


def _batches(items: Sequence[Forced]) -> list[list[int]]:
    batches: list[list[int]] = []
    for index in sorted(range(len(items)), key=lambda index: len(items[index])):
        # Ascending: this one would be the longest of its batch.
        if not batches or (len(batches[-1]) + 1) * len(items[index]) > _BATCH_TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches


def _judge(engine: TransformersEngine, items: Sequence[Forced]) -> list[bool]:
    model, device = engine.model, engine.model.device
    table = model.get_input_embeddings()
    embeddings, positions = [], []
    rows: list[int] = []
    columns: list[int] = []
    for row, item in enumerate(items):
        prompt, answer = item.prompt, torch.tensor(item.answer, dtype=torch.long, device=device)
        embeddings.append(torch.cat([prompt.embed(table, device), table(answer)]))
        places = torch.arange(len(answer), device=device)
        positions.append(torch.cat([prompt.position_ids.to(device), prompt.next_position + places]))
        # The token before each of the answer's, and its last one, which should announce the end.
        columns += range(len(prompt) - 1, len(item))
        rows += [row] * (len(answer) + 1)
    padded = pad_sequence(embeddings, batch_first=True)
    lengths = torch.tensor([len(item) for item in items], device=device)
    hidden = model.model(
        inputs_embeds=padded,
        attention_mask=(torch.arange(padded.shape[1], device=device) < lengths[:, None]).long(),
        position_ids=pad_sequence(positions, batch_first=True),
        use_cache=False,
    ).last_hidden_state
    likeliest = iter(model.lm_head(hidden[rows, columns]).argmax(-1).tolist())
    verdicts = []
    for item in items:
        told = [next(likeliest) for _ in range(len(item.answer) + 1)]
        verdicts.append(told[:-1] == item.answer and told[-1] in engine.end_tokens)
    return verdicts
