"""VisualTokens in pieces, none of which is large."""

from __future__ import annotations

from collections.abc import Iterator

from heroserve.v1.encoder_pb2 import EncodeChunk, VisualTokens

# Of rows in a message: with all else in it, far below the 4 MiB that gRPC's clients accept unless told otherwise.
CHUNK_BYTES = 1 << 20


def chunks(tokens: VisualTokens) -> Iterator[EncodeChunk]:
    """All but the rows, which are taken from ``tokens``; then tile after tile whole rows, at least one a message."""
    data = tokens.features.data
    tokens.features.ClearField("data")
    yield EncodeChunk(tokens=tokens)
    if not data:
        return
    row = len(data) // tokens.features.rows
    most = max(1, CHUNK_BYTES // row) * row
    start = 0
    for tile in tokens.tiles:
        end = start + len(tile.positions) * row
        for at in range(start, end, most):
            yield EncodeChunk(tile=tile.index, data=data[at : min(at + most, end)])
        start = end
