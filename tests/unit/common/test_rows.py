"""Rows are read back as they were written, and what is no row is told."""

from __future__ import annotations

import pytest
import torch

from heroserve.v1.encoder_pb2 import Features
from services.common.rows import RowDtype, from_wire, pack, row_bytes, row_dtype, to_wire, unpack

DTYPES: list[RowDtype] = ["float32", "float16", "bfloat16", "int8"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_as_long_as_they_say(dtype: RowDtype):
    features = torch.randn(5, 33, generator=torch.Generator().manual_seed(0))
    if dtype != "int8":
        features = features.to(getattr(torch, dtype))
    rows = pack(features, dtype)
    assert rows.shape == (5, row_bytes(dtype, 33))
    back = unpack(rows.tobytes(), dtype, 5, 33)
    assert back.shape == (5, 33)
    if dtype != "int8":
        assert back.dtype == features.dtype
        assert torch.equal(back, features)
        assert row_dtype(features.dtype) == dtype


def test_rows_are_not_converted_on_the_way():
    with pytest.raises(ValueError, match=r"torch.float32 in place of float16"):
        pack(torch.zeros(1, 2), "float16")
    with pytest.raises(ValueError, match="not float64"):
        row_dtype(torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_its_word_on_the_wire(dtype: RowDtype):
    assert from_wire(to_wire(dtype)) == dtype
    assert Features.DType.Name(to_wire(dtype)) == dtype.upper()


def test_the_wire_has_no_dtype_that_is_not_known_here():
    known = {to_wire(dtype) for dtype in DTYPES}
    assert set(Features.DType.values()) - {Features.DTYPE_UNSPECIFIED} == known


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:-4]])
def test_another_number_of_bytes_is_refused(change):
    good = bytes(24)
    assert unpack(good, "float32", 2, 3).shape == (2, 3)
    bad = change(good)
    with pytest.raises(ValueError, match=rf"{len(bad)} bytes in place of 24"):
        unpack(bad, "float32", 2, 3)
    # The same bytes in another dtype are another number of values.
    with pytest.raises(ValueError, match="in place of 12"):
        unpack(good, "float16", 2, 3)


@pytest.mark.parametrize("dtype", [Features.DTYPE_UNSPECIFIED, 99])
def test_an_unknown_dtype_is_refused(dtype):
    with pytest.raises(ValueError, match=f"unknown dtype {dtype}"):
        from_wire(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_row_at_all(dtype: RowDtype):
    """HeroConfig.reference() may keep none."""
    assert unpack(b"", dtype, 0, 64).shape == (0, 64)
