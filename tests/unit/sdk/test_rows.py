"""Rows as arrays: read as the proto's comments write them, by hand here."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch

import heroserve
from heroserve.rows import row_bytes, to_numpy, to_torch
from heroserve.v1.encoder_pb2 import Features

VALUES = [[1.0, -2.5, 0.0], [0.15625, 3.0, -127.0]]
# Of 1.0, -2.5, ...: the upper halves of their floats.
BFLOAT16 = [0x3F80, 0xC020, 0x0000, 0x3E20, 0x4040, 0xC2FE]
DATA = {
    Features.FLOAT32: struct.pack("<6f", *VALUES[0], *VALUES[1]),
    Features.FLOAT16: struct.pack("<6e", *VALUES[0], *VALUES[1]),
    Features.BFLOAT16: struct.pack("<6H", *BFLOAT16),
    Features.INT8: struct.pack("<f3b", 0.5, 2, -5, 0) + struct.pack("<f3b", 0.03125, 5, 96, -127),
}


@pytest.mark.parametrize("dtype", DATA, ids=Features.DType.Name)
def test_values_are_what_was_sent(dtype):
    features = Features(dtype=dtype, rows=2, cols=3, data=DATA[dtype])
    wanted = np.array(VALUES, np.float32)
    if dtype == Features.INT8:
        wanted[1, 2] = -127 * 0.03125
    array = to_numpy(features)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, wanted)
    assert torch.equal(to_torch(features), torch.tensor(wanted))
    assert 2 * row_bytes(features) == len(DATA[dtype])


@pytest.mark.parametrize("dtype", DATA, ids=Features.DType.Name)
def test_no_row_at_all(dtype):
    assert to_numpy(Features(dtype=dtype, cols=64)).shape == (0, 64)
    assert to_torch(Features(dtype=dtype, cols=64)).shape == (0, 64)


def test_what_is_not_what_it_says_is_told():
    with pytest.raises(heroserve.Internal, match="23 bytes in place of 24"):
        to_numpy(Features(dtype=Features.FLOAT32, rows=2, cols=3, data=bytes(23)))
    with pytest.raises(heroserve.Internal, match="dtype 0, which this client does not know"):
        to_numpy(Features(rows=2, cols=3, data=bytes(24)))


def test_every_dtype_of_the_wire_is_known():
    for dtype in set(Features.DType.values()) - {Features.DTYPE_UNSPECIFIED}:
        assert row_bytes(Features(dtype=dtype, cols=8)) > 0
