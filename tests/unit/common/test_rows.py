"""Rows are read back as they were written, and what is no row is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heroserve.v1.encoder_pb2 import Features
from services.common.rows import (
    RowDtype,
    convert,
    from_wire,
    pack,
    row_bytes,
    row_dtype,
    sendable,
    to_wire,
    unpack,
)

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


STORED_AND_SENT = [(stored, sent) for stored in DTYPES for sent in sendable(stored)]


def _rows(stored: RowDtype, values: torch.Tensor):
    return pack(values if stored == "int8" else values.to(getattr(torch, stored)), stored)


@pytest.mark.parametrize(("stored", "sent"), STORED_AND_SENT)
def test_converted_as_the_proto_says(stored: RowDtype, sent: RowDtype):
    values = torch.randn(7, 33, generator=torch.Generator().manual_seed(1)) * torch.logspace(-6, 3, 7)[:, None]
    rows = _rows(stored, values)
    exact = unpack(rows.tobytes(), stored, 7, 33).double()
    converted = convert(rows, stored, sent, 33)
    assert converted.shape == (7, row_bytes(sent, 33))
    back = unpack(converted.tobytes(), sent, 7, 33).double()
    error = (back - exact).abs()
    if sent in ("float32", stored):
        assert torch.equal(back, exact)
    elif sent == "bfloat16":
        # Eight bits of each value: half of the last one, to the nearest.
        assert bool((error <= exact.abs() * 2.0**-8).all())
        assert torch.equal(back, exact.float().bfloat16().double())
    else:
        assert bool((error <= exact.abs().amax(dim=1, keepdim=True) / 127 * 0.50001).all())
    if sent == stored:
        assert converted is rows


@pytest.mark.parametrize(("stored", "sent"), STORED_AND_SENT)
def test_no_row_is_converted_to_none(stored: RowDtype, sent: RowDtype):
    assert convert(_rows(stored, torch.zeros(0, 5)), stored, sent, 5).tobytes() == b""


def test_rounding_is_to_the_nearest_and_ties_to_even():
    scale = 2.0
    row = torch.tensor([[254.0, 1.0, 3.0, 5.0, -1.0, -3.0, 2.98, 3.02, 0.0, -254.0]])
    found = convert(pack(row, "float32"), "float32", "int8", 10).tobytes()
    assert np.frombuffer(found[:4], "<f4") == scale
    assert np.frombuffer(found[4:], "i1").tolist() == [127, 0, 2, 2, 0, -2, 1, 2, 0, -127]
    # 1 + 2^-8 and 1 + 3 * 2^-8 lie between two bfloat16 values each.
    halves = torch.tensor([[1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 1 + 2**-8 + 2**-20]])
    found = convert(pack(halves, "float32"), "float32", "bfloat16", 4).tobytes()
    assert np.frombuffer(found, "<u2").tolist() == [0x3F80, 0x3F82, 0xBF80, 0x3F81]


@pytest.mark.parametrize("largest", [0.0, 1.4e-45, 3e-43, 1.1e-38, 2e-36, 3.4e38])
def test_a_row_of_any_size_stays_within_half_a_scale(largest: float):
    """Below the least normal number a scale would be too coarse, and values would not fit a byte."""
    values = torch.tensor([[largest, -largest / 3, largest / 7, 0.0]])
    rows = pack(values, "int8")
    scale = float(np.frombuffer(rows.tobytes()[:4], "<f4")[0])
    assert scale >= 2.0**-126
    assert np.abs(np.frombuffer(rows.tobytes()[4:], "i1").astype(int)).max() <= 127
    back = unpack(rows.tobytes(), "int8", 1, 4)
    assert bool(((back - values).abs() <= scale * 0.50001).all())


def test_nothing_is_sent_in_a_narrower_range():
    assert sendable("float32") == ("float32", "bfloat16", "int8")
    assert sendable("float16") == ("float16", "float32", "bfloat16", "int8")
    assert sendable("int8") == ("int8", "float32", "bfloat16")
