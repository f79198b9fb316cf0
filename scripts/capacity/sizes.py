"""Bytes of a request, counted by what is written and sent."""

from __future__ import annotations

from scripts.capacity.costs import Sizes
from scripts.sizing.asked import Asked
from scripts.sizing.curve import Point
from services.common.rows import row_bytes
from services.llm.settings import Rows

# Of an entry besides its rows: of each row its position and its checksum; of each tile its numbers and its embedding
# for relevance; and the header's JSON (services/encoder/cache/entry.py).
_OF_A_ROW = 2 + 16
_OF_A_TILE = 8 + 8 + 4 + 4 * 512
_HEADER = 600


def sizes_of(asked: Asked, request: Point, rows: Rows, *, cached: bool) -> Sizes:
    """Of one with that retention.

    Args:
        asked: whose rows, of which picture.
        request: how many of them are kept.
        rows: what they are sent in.
        cached: whether there is a cache.
    """
    model, tokens, tiles = asked.model, sum(asked.picture.valid), len(asked.picture.valid)
    row = model.row_bytes if rows == "native" else row_bytes(rows, model.row_bytes // model.value_bytes)
    told = _HEADER + _OF_A_ROW * tokens + _OF_A_TILE * tiles
    image = tokens * model.row_bytes
    return Sizes(
        tiles=tiles,
        image_bytes=image,
        sent_bytes=request.kept * row,
        entry_bytes=(image + told) * cached,
        read_bytes=(request.row_bytes + told) * cached,
    )
