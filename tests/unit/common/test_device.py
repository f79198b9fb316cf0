"""What ``auto`` is."""

from __future__ import annotations

import pytest
import torch

from services.common.device import pick_device, pick_dtype
from services.common.settings import SettingError

F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16


@pytest.mark.parametrize(("name", "wanted"), [("auto", F32), ("float32", F32), ("float16", F16), ("bfloat16", BF16)])
def test_dtypes_on_a_cpu(name, wanted):
    """What weights are stored in is not even asked."""
    assert pick_dtype(name, torch.device("cpu"), lambda: pytest.fail("headers were read")) == wanted


@pytest.mark.parametrize(
    ("name", "stored", "able", "wanted", "warns"),
    [
        ("auto", F16, True, F16, False),
        ("auto", BF16, True, BF16, False),
        ("auto", F32, True, BF16, False),
        ("auto", F16, False, F16, False),
        ("auto", BF16, False, F16, True),
        ("auto", F32, False, F16, True),
        ("float32", BF16, True, F32, False),
        ("float32", BF16, False, F32, False),
        ("float16", BF16, True, F16, False),
        ("bfloat16", F16, True, BF16, False),
    ],
)
def test_dtypes_on_a_gpu(monkeypatch, caplog, name, stored, able, wanted, warns):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: able or including_emulation)
    assert pick_dtype(name, torch.device("cuda"), lambda: stored) == wanted
    assert [record.getMessage().startswith("HEROSERVE_DTYPE=auto is float16") for record in caplog.records] == [
        True
    ] * warns


def test_bfloat16_on_a_gpu_without_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    with pytest.raises(SettingError, match=r"^HEROSERVE_DTYPE='bfloat16': this GPU has none"):
        pick_dtype("bfloat16", torch.device("cuda"), lambda: BF16)


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
