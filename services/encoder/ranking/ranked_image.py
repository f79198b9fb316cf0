"""An image's visual tokens in the order HERO keeps them: what the tower hands on and what the cache holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    # Its types alone: who reads entries needs no torch.
    from services.common.rows import Bytes2D, RowDtype


@dataclass(frozen=True)
class RankedImage:
    """Every valid token of every tile, best first within its tile. n is their number over all tiles.

    Args:
        valid: tokens of each tile, int64 [1 + K], the thumbnail's first.
        positions: uint16 [n], tile after tile: index within its tile, best first.
        rows: uint8 [n, row_bytes], the feature of each position: little-endian values of ``dtype``; for "int8" a
            float32 scale before them.
        dtype: "float32", "float16", "bfloat16" or "int8".
        feature_width: H, values a row.
        saliency_cos: float32 [K], each local tile's CLS against the thumbnail's.
        relevance: float32 [K, D], each local tile's unit CLIP embedding, without any the thumbnail's, [1, D]; D = 0
            without a relevance model.
    """

    valid: np.ndarray[Any, np.dtype[np.int64]]
    positions: np.ndarray[Any, np.dtype[np.uint16]]
    rows: Bytes2D
    dtype: RowDtype
    feature_width: int
    saliency_cos: np.ndarray[Any, np.dtype[np.float32]]
    relevance: np.ndarray[Any, np.dtype[np.float32]]
