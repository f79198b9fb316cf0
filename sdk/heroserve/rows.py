"""The rows of visual tokens as arrays: NumPy's (extra `arrays`) or torch's, which are not installed with this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heroserve.errors import Internal
from heroserve.v1.encoder_pb2 import Features

if TYPE_CHECKING:
    import numpy as np
    import torch

# Bytes of a value, and of a row besides its values.
_BYTES = {Features.FLOAT32: (4, 0), Features.FLOAT16: (2, 0), Features.BFLOAT16: (2, 0), Features.INT8: (1, 4)}


def row_bytes(features: Features) -> int:
    """Bytes of one row. Raises Internal for a dtype that this version does not know."""
    if features.dtype not in _BYTES:
        raise Internal(f"features have the dtype {features.dtype}, which this client does not know; upgrade it")
    value, besides = _BYTES[features.dtype]
    return besides + value * features.cols


def to_numpy(features: Features) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32 [rows, cols], exactly what was sent; for int8, values times their row's scale.

    Raises Internal for features that are not what they say, ImportError without NumPy.
    """
    import numpy as np

    rows, cols, data = features.rows, features.cols, features.data
    wanted = rows * row_bytes(features)
    if len(data) != wanted:
        raise Internal(f"features have {len(data)} bytes in place of {wanted}")
    if features.dtype == Features.INT8:
        return from_int8(data, cols)
    if features.dtype == Features.BFLOAT16:
        # The upper half of a float32.
        halves = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return halves.view(np.float32).reshape(rows, cols)
    kind = "<f4" if features.dtype == Features.FLOAT32 else "<f2"
    return np.frombuffer(data, kind).astype(np.float32).reshape(rows, cols)


def to_torch(features: Features) -> torch.Tensor:
    """The same as a tensor. Raises as `to_numpy`, and ImportError without torch."""
    import torch

    return torch.from_numpy(to_numpy(features))


def from_int8(data: bytes, cols: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Whole int8 rows to float32 [rows, cols]."""
    import numpy as np

    row = np.dtype([("scale", "<f4"), ("values", "i1", (cols,))])
    rows = np.frombuffer(data, row)
    values: np.ndarray[Any, np.dtype[np.float32]] = rows["values"].astype(np.float32) * rows["scale"][:, None]
    return values
