"""From kept patches to the sequence the language model reads, by the services' own splicing and assembly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.world.questions import Question
from services.common.rows import RowDtype, convert, pack, row_dtype, unpack
from services.families.family import Splice
from services.llm.assemble import Prompt, assemble
from services.llm.job import ChatJob, ImagePart, Turn
from services.llm.layout import base_first

from .bench import Bench, Sight
from .methods import Asked, Kept, Method


@dataclass(frozen=True)
class Text:
    """A question's token ids.

    Args:
        ids: the whole prompt, with one placeholder for the image.
        answer: the right answer, without its end token.
    """

    ids: list[int]
    answer: list[int]


def text(bench: Bench, question: Question) -> Text:
    """Token ids as the LLM service makes them of a user's message with one image."""
    job = ChatJob((Turn("user", (ImagePart(data=b"-"), question.text)),))
    answer = bench.prompts.tokenizer(question.answer, add_special_tokens=False).input_ids
    return Text(bench.prompts.build(job), answer)


@dataclass(frozen=True)
class Shown:
    """A picture as a method shows it to the language model.

    Args:
        sight: the picture.
        kept: positions kept of each tile.
        splice: their order.
        original_positions: how they are numbered.
        rows: what the rows are sent as; None as the tower made them.
    """

    sight: Sight
    kept: Kept
    splice: Splice
    original_positions: bool
    rows: RowDtype | None

    @property
    def key(self) -> tuple[object, ...]:
        """Two of one picture with the same key are the same to the language model."""
        splice = self.splice
        gaps = splice.full_length != len(splice) and self.original_positions
        numbers = splice.position.tobytes() if gaps else b""
        kept = b"".join(len(tile).to_bytes(2, "little") + tile.tobytes() for tile in self.kept)
        return kept, splice.source.tobytes(), numbers, self.rows

    def prompt(self, bench: Bench, ids: list[int]) -> Prompt:
        """With a question, ready for an engine."""
        return assemble(
            bench.splicer,
            ids,
            bench.prompts.image_token_id,
            [(self._features(), self.splice)],
            original_positions=self.original_positions,
        )

    def _features(self) -> torch.Tensor:
        """As they come out at the other end of the wire."""
        tile = np.repeat(np.arange(len(self.kept)), [len(positions) for positions in self.kept])
        rows = self.sight.output.features[torch.from_numpy(tile), torch.from_numpy(np.concatenate(self.kept))]
        stored = row_dtype(rows.dtype)
        sent = self.rows or stored
        return unpack(convert(pack(rows, stored), stored, sent, rows.shape[1]).tobytes(), sent, *rows.shape)


def show(bench: Bench, sight: Sight, asked: Asked, retention: float, method: Method) -> Shown:
    kept = method.select(sight, asked, retention)
    base = kept if method.base is None else method.base(sight, asked, retention)
    splice = base_first(bench.splice, sight.grid, kept, base, method.newlines)
    return Shown(sight, kept, splice, method.original_positions, method.rows)
