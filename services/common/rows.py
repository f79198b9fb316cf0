"""What a row is: the feature of one visual token in bytes, the same in the cache and on the wire.

Its dtype's values one after the other, little-endian; an int8 row is a float32 scale and then its values, which times
the scale are the feature.
"""

from __future__ import annotations

from typing import Any, cast, get_args

import numpy as np
import torch

from heroserve import RowDtype as RowDtype
from heroserve.rows import from_int8
from heroserve.rows import row_bytes as sent_row_bytes
from heroserve.v1.encoder_pb2 import Features

Bytes2D = np.ndarray[Any, np.dtype[np.uint8]]

_WIRE: dict[RowDtype, Features.DType] = {
    "float32": Features.FLOAT32,
    "float16": Features.FLOAT16,
    "bfloat16": Features.BFLOAT16,
    "int8": Features.INT8,
}
# What rows of any dtype can be sent in: none of these is narrower in range than another. float16 is, and is only sent
# where rows are kept in it.
_ANY: tuple[RowDtype, ...] = ("float32", "bfloat16", "int8")


def row_dtype(dtype: torch.dtype) -> RowDtype:
    """What rows of a tensor are called.

    Raises:
        ValueError: rows are not kept in it.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in get_args(RowDtype):
        raise ValueError(f"rows are one of {', '.join(get_args(RowDtype))}, not {name}")
    return cast("RowDtype", name)


def to_wire(dtype: RowDtype) -> Features.DType:
    return _WIRE[dtype]


def from_wire(dtype: Features.DType) -> RowDtype:
    """Raises:
    ValueError: no dtype that this version knows.
    """
    for name, value in _WIRE.items():
        if value == dtype:
            return name
    raise ValueError(f"features have an unknown dtype {dtype}")


def sendable(stored: RowDtype) -> tuple[RowDtype, ...]:
    """What rows that are kept in ``stored`` can be asked for in, that first."""
    return (stored, *(dtype for dtype in _ANY if dtype != stored))


def row_bytes(dtype: RowDtype, feature_width: int) -> int:
    """Bytes of one row of so many values."""
    return sent_row_bytes(Features(dtype=to_wire(dtype), cols=feature_width))


def pack(features: torch.Tensor, dtype: RowDtype) -> Bytes2D:
    """[n, H] to uint8 [n, row_bytes]; any floating dtype to int8, else only its own to itself.

    int8 is symmetric with a scale a row: a row's largest value becomes 127 or -127, and each is right to within half a
    scale.

    Raises:
        ValueError: the features are of another dtype.
    """
    if dtype == "int8":
        return _pack_int8(features)
    if features.dtype != _torch_dtype(dtype):
        raise ValueError(f"features are {features.dtype} in place of {dtype}")
    rows: Bytes2D = features.contiguous().view(torch.uint8).numpy()
    return rows


def convert(rows: Bytes2D, stored: RowDtype, wanted: RowDtype, feature_width: int) -> Bytes2D:
    """Rows [n, row_bytes] of one of the dtypes in another of ``sendable``; the very same where they are in it.

    A wider dtype is exact; bfloat16 is the nearest, ties to even; int8 as ``pack`` has it.
    """
    if wanted == stored:
        return rows
    if not len(rows):
        return np.empty((0, row_bytes(wanted, feature_width)), np.uint8)
    features = unpack(rows.tobytes(), stored, len(rows), feature_width)
    return pack(features if wanted == "int8" else features.to(_torch_dtype(wanted)), wanted)


def unpack(data: bytes, dtype: RowDtype, rows: int, feature_width: int) -> torch.Tensor:
    """So many rows to [rows, feature_width] in their own dtype; int8 rows to float32.

    Raises:
        ValueError: another number of bytes than they need.
    """
    wanted = rows * row_bytes(dtype, feature_width)
    if len(data) != wanted:
        raise ValueError(f"features are {len(data)} bytes in place of {wanted}")
    if dtype == "int8":
        return torch.from_numpy(from_int8(data, feature_width))
    if not rows:
        return torch.empty(0, feature_width, dtype=_torch_dtype(dtype))
    return torch.frombuffer(bytearray(data), dtype=_torch_dtype(dtype)).view(rows, feature_width)


def _torch_dtype(dtype: RowDtype) -> torch.dtype:
    found: torch.dtype = getattr(torch, dtype)
    return found


def _pack_int8(features: torch.Tensor) -> Bytes2D:
    values = features.float()
    # A row of zeros has no largest value, and below the least normal number a scale is too coarse to divide by.
    scale = (values.abs().amax(dim=1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    quantized = (values / scale).round().to(torch.int8)
    parts = [scale.numpy().astype("<f4").view(np.uint8), quantized.numpy().view(np.uint8)]
    return np.concatenate(parts, axis=1)
