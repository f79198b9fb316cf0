"""What was kept of an image, tile by tile, and what made each tile matter: as a table."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from heroserve.v1.encoder_pb2 import Grid, Tile


def tiles_table(tiles: Iterable[Tile], grid: Grid) -> Table:
    """A line a tile; the thumbnail has no importance."""
    terms = ("saliency", "relevance", "density")
    table = Table("tile", "importance", "kept", "valid", *terms)
    for column in table.columns[1:]:
        column.justify = "right"
    for tile in tiles:
        row, col = divmod(tile.index - 1, grid.cols or 1)
        table.add_row(
            f"row {row} col {col}" if tile.index else "thumbnail",
            f"{tile.importance:.3f}" if tile.index else "",
            str(len(tile.positions)),
            str(tile.valid),
            *(f"{getattr(tile.explanation, term):.3f}" if tile.index else "" for term in terms),
        )
    return table
