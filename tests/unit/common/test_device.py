"""What ``auto`` is."""

from __future__ import annotations

import pytest
import torch

from services.common.device import pick_device, pick_dtype
from services.common.settings import SettingError


@pytest.mark.parametrize(
    ("dtype", "device", "wanted"),
    [
        ("auto", "cpu", torch.float32),
        ("auto", "cuda", torch.float16),
        ("bfloat16", "cpu", torch.bfloat16),
        ("float32", "cuda", torch.float32),
        ("float16", "cpu", torch.float16),
    ],
)
def test_dtypes(dtype, device, wanted):
    assert pick_dtype(dtype, torch.device(device)) == wanted


@pytest.mark.parametrize("there", [True, False])
def test_devices(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if there else "cpu")
    if there:
        assert pick_device("cuda").type == "cuda"
    else:
        with pytest.raises(SettingError, match=r"^HEROSERVE_DEVICE='cuda'"):
            pick_device("cuda")
