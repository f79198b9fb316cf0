"""What was kept of an image, as it goes over the wire: gRPC's message, which is OpenAI's callers' JSON too; and where
in the image that is, for who draws it without our SDK."""

from __future__ import annotations

from typing import Any

import heroserve
from heroserve.geometry import Box, Geometry
from heroserve.v1 import chat_pb2
from heroserve.v1.encoder_pb2 import Grid, Tile, TileExplanation, Window
from heroserve.v1.tokens_pb2 import Savings
from services.llm.explanation import Explanation, TileTerms


def message(explanation: Explanation) -> chat_pb2.Explanation:
    kept = sum(map(len, explanation.kept))
    return chat_pb2.Explanation(
        image_digest=explanation.digest,
        question=explanation.question,
        grid=_grid(explanation),
        tiles=[
            _tile(index, terms, positions.tolist())
            for index, (terms, positions) in enumerate(zip(explanation.tiles, explanation.kept, strict=True))
        ],
        savings=Savings(total=explanation.total, kept=kept, dropped=explanation.total - kept),
    )


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The message in JSON's values, by the proto's own names, zeros included."""
    return heroserve.Explanation.from_message(message(explanation)).to_dict()


def drawing(explanation: Explanation) -> dict[str, Any]:
    """What to draw of it, as left, top, right and bottom in the upright image's pixels, by the SDK's own geometry: each
    tile's box, the thumbnail's first, and those of its kept visual tokens."""
    geometry = Geometry(_grid(explanation))
    return {
        "width": explanation.grid.width,
        "height": explanation.grid.height,
        "tiles": [
            {
                "index": index,
                "box": _edges(geometry.tile(index).within(geometry.image)),
                "kept": [_edges(geometry.token(index, position)) for position in positions.tolist()],
            }
            for index, positions in enumerate(explanation.kept)
        ],
    }


def _grid(explanation: Explanation) -> Grid:
    grid, placement = explanation.grid, explanation.placement
    return Grid(
        rows=grid.rows,
        cols=grid.cols,
        patches_per_side=grid.side,
        image_width=grid.width,
        image_height=grid.height,
        window=Window(top=grid.top, bottom=grid.bottom, left=grid.left, right=grid.right),
        tile_size=placement.tile_size,
        token_size=placement.token_size,
        placement=Window(top=placement.top, bottom=placement.bottom, left=placement.left, right=placement.right),
    )


def _edges(box: Box) -> list[float]:
    return [round(edge, 2) for edge in (box.left, box.top, box.right, box.bottom)]


def _tile(index: int, terms: TileTerms, positions: list[int]) -> Tile:
    tile = Tile(index=index, importance=terms.importance, valid=terms.valid, positions=positions)
    if index:
        tile.explanation.CopyFrom(
            TileExplanation(saliency=terms.saliency, relevance=terms.relevance, density=terms.density)
        )
    return tile
