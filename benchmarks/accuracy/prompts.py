"""From kept patches to the sequence the language model reads, by the services' own layout and assembly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.encoder_pb2 import Features, Tile, VisualTokens
from heroserve.v1.tokens_pb2 import Image
from models.world.questions import Question
from services.encoder.quantize import int8_rows
from services.encoder.response import DTYPES, grid_message
from services.llm.assemble import Prompt, assemble
from services.llm.layout import ImageLayout, lay_out
from services.llm.request import parse_request

from .bench import Bench, Sight
from .methods import Kept, Method


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
    parts = [Part(image=Image(data=b"-")), Part(text=question.text)]
    job = parse_request(GenerateRequest(messages=[Message(role=Message.USER, parts=parts)]), max_images=1)
    answer = bench.prompts.tokenizer(question.answer, add_special_tokens=False).input_ids
    return Text(bench.prompts.build(job), answer)


@dataclass(frozen=True)
class Shown:
    """A picture as a method shows it to the language model.

    Args:
        sight: the picture.
        kept: positions kept of each tile.
        grid: the encoder's answer without its rows.
        layout: their order.
        original_positions: how they are numbered.
        int8: what the rows are sent as.
    """

    sight: Sight
    kept: Kept
    grid: VisualTokens
    layout: ImageLayout
    original_positions: bool
    int8: bool

    @property
    def key(self) -> tuple[object, ...]:
        """Two of one picture with the same key are the same to the language model."""
        layout = self.layout
        gaps = layout.full_length != len(layout.source) and self.original_positions
        numbers = layout.position.tobytes() if gaps else b""
        kept = b"".join(len(tile).to_bytes(2, "little") + tile.tobytes() for tile in self.kept)
        return kept, layout.source.tobytes(), numbers, self.int8

    def prompt(self, bench: Bench, ids: list[int]) -> Prompt:
        """With a question, ready for an engine."""
        tokens = VisualTokens(grid=self.grid.grid, tiles=self.grid.tiles, features=self._features())
        return assemble(
            bench.language,
            ids,
            bench.prompts.image_token_id,
            [(tokens, self.layout)],
            original_positions=self.original_positions,
        )

    def _features(self) -> Features:
        tile = np.repeat(np.arange(len(self.kept)), [len(positions) for positions in self.kept])
        rows = self.sight.output.features[torch.from_numpy(tile), torch.from_numpy(np.concatenate(self.kept))]
        name = "int8" if self.int8 else str(rows.dtype).removeprefix("torch.")
        data = int8_rows(rows) if self.int8 else rows.contiguous().view(torch.uint8).numpy()
        return Features(dtype=DTYPES[name], rows=len(rows), cols=rows.shape[1], data=data.tobytes())


def show(sight: Sight, kept: Kept, method: Method) -> Shown:
    grid = VisualTokens(
        grid=grid_message(sight.plan),
        tiles=[Tile(index=index, positions=positions.tolist()) for index, positions in enumerate(kept)],
    )
    return Shown(sight, kept, grid, lay_out(grid, method.newlines), method.original_positions, method.int8)
