"""From kept rows to the VisualTokens message."""

from __future__ import annotations

from typing import Any

import numpy as np

from heroserve.v1.encoder_pb2 import (
    EncodeTimings,
    Features,
    Grid,
    Tile,
    TileExplanation,
    VisualTokens,
    Window,
)
from heroserve.v1.tokens_pb2 import Savings
from services.common.rows import RowDtype, convert, to_wire
from services.encoder.cache.entry import Entry, Prefixes
from services.encoder.plan import TokenPlan
from services.families.grid import Grid as TileGrid
from services.families.grid import Placement

Positions = np.ndarray[Any, np.dtype[np.uint16]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Order = np.ndarray[Any, np.dtype[np.int64]]


def visual_tokens(
    digest: str,
    encoder_id: str,
    entry: Entry,
    plan: TokenPlan,
    rows: Prefixes | None,
    cache: VisualTokens.Cache,
    *,
    dtype: RowDtype | None = None,
    placement: Placement,
    explain: bool,
) -> VisualTokens:
    """The answer to an EncodeRequest, but for its timings.

    Args:
        digest, encoder_id: of the image and of the encoder.
        entry: the image.
        plan: how many rows of each tile are kept.
        rows: those rows; None where only the plan is asked for, which has positions where it is explained.
        cache: where they came from.
        dtype: in which to send them; None is as they are.
        placement: where the image lies on its tiles.
        explain: tell the terms of each local tile's importance.
    """
    counts = plan.counts if rows is not None or explain else [0] * len(plan.counts)
    ranked = [entry.positions[start : start + count] for start, count in zip(entry.starts, counts, strict=True)]
    # Ranked order is ours; the wire's is by position.
    orders = [np.argsort(positions) for positions in ranked]
    kept_of = [positions[order] for positions, order in zip(ranked, orders, strict=True)]
    # Within a tile the base is what is ranked first.
    base_of = [order < base for order, base in zip(orders, plan.base or [0] * len(counts), strict=True)]
    kept, total = sum(plan.counts), int(entry.valid.sum())
    dtype = dtype or entry.dtype
    tokens = VisualTokens(
        image_digest=digest,
        encoder_id=encoder_id,
        grid=grid_message(entry.grid, placement),
        tiles=_tiles(entry, plan, kept_of, base_of, explain),
        features=Features(
            dtype=to_wire(dtype),
            rows=0 if rows is None else kept,
            cols=entry.feature_width,
        ),
        relevance=plan.fit,
        savings=Savings(total=total, kept=kept, dropped=total - kept),
        cache=cache,
        timings=EncodeTimings(),
    )
    if rows is not None:
        # Set where they stay: with a Features that is handed over they would be copied once more.
        tokens.features.data = _sorted(rows, orders, entry, dtype)
    return tokens


def _sorted(rows: Prefixes, orders: list[Order], entry: Entry, dtype: RowDtype) -> bytes:
    """Tile after tile each one's rows by these indices, in ``dtype``."""
    data = b"".join(tile[index] for tile, order in zip(rows, orders, strict=True) for index in order.tolist())
    if dtype == entry.dtype:
        return data
    by_row = np.frombuffer(data, np.uint8).reshape(-1, entry.row_bytes)
    return convert(by_row, entry.dtype, dtype, entry.feature_width).tobytes()


def grid_message(grid: TileGrid, placement: Placement) -> Grid:
    """The grid an image was cut by, as it goes over the wire."""
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


def _tiles(entry: Entry, plan: TokenPlan, positions: list[Positions], in_base: list[Mask], explain: bool) -> list[Tile]:
    tiles = [
        Tile(index=index, valid=int(valid), positions=kept.tolist(), base=kept[first].tolist())
        for index, (valid, kept, first) in enumerate(zip(entry.valid, positions, in_base, strict=True))
    ]
    for index, tile in enumerate(tiles[1:]):
        tile.importance = float(plan.importance[index])
        if explain:
            relevance = 0.0 if plan.relevance is None else float(plan.relevance[index])
            tile.explanation.CopyFrom(
                TileExplanation(
                    saliency=float(plan.saliency[index]),
                    relevance=relevance,
                    density=float(plan.density[index]),
                )
            )
    return tiles
