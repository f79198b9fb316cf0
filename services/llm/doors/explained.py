"""What was kept of an image, as it goes over the wire: gRPC's message, which is OpenAI's callers' JSON too."""

from __future__ import annotations

from typing import Any

import heroserve
from heroserve.v1 import chat_pb2
from heroserve.v1.encoder_pb2 import Grid, Tile, TileExplanation, Window
from heroserve.v1.tokens_pb2 import Savings
from services.llm.explanation import Explanation, TileTerms


def message(explanation: Explanation) -> chat_pb2.Explanation:
    grid, placement = explanation.grid, explanation.placement
    kept = sum(map(len, explanation.kept))
    return chat_pb2.Explanation(
        image_digest=explanation.digest,
        question=explanation.question,
        grid=Grid(
            rows=grid.rows,
            cols=grid.cols,
            patches_per_side=grid.side,
            image_width=grid.width,
            image_height=grid.height,
            window=Window(top=grid.top, bottom=grid.bottom, left=grid.left, right=grid.right),
            tile_size=placement.tile_size,
            token_size=placement.token_size,
            placement=Window(top=placement.top, bottom=placement.bottom, left=placement.left, right=placement.right),
        ),
        tiles=[
            _tile(index, terms, positions.tolist())
            for index, (terms, positions) in enumerate(zip(explanation.tiles, explanation.kept, strict=True))
        ],
        savings=Savings(total=explanation.total, kept=kept, dropped=explanation.total - kept),
    )


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The message in JSON's values, by the proto's own names, zeros included."""
    return heroserve.Explanation.from_message(message(explanation)).to_dict()


def _tile(index: int, terms: TileTerms, positions: list[int]) -> Tile:
    tile = Tile(index=index, importance=terms.importance, valid=terms.valid, positions=positions)
    if index:
        tile.explanation.CopyFrom(
            TileExplanation(saliency=terms.saliency, relevance=terms.relevance, density=terms.density)
        )
    return tile
