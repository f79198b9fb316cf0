"""What ``auto`` is."""

from __future__ import annotations

import pytest
import torch

from services.common import device
from services.common.device import multiplies_in_bfloat16, pick_device, pick_dtype
from services.common.settings import SettingError

F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16


@pytest.mark.parametrize(("name", "wanted"), [("auto", F32), ("float32", F32), ("float16", F16), ("bfloat16", BF16)])
def test_dtypes_on_a_cpu(name, wanted):
    """What weights are stored in is not even asked."""
    assert pick_dtype(name, torch.device("cpu"), lambda: pytest.fail("headers were read")) == wanted


@pytest.mark.parametrize(
    ("name", "width", "able", "wanted"),
    [
        # CLIP's are 768 and wider.
        ("auto", 768, True, BF16),
        ("auto", 768, False, F32),
        ("auto", 256, True, BF16),
        # The bundled one, which is as fast in float32, and exact.
        ("auto", 128, True, F32),
        # A language model, which no width is told of.
        ("auto", 0, True, F32),
        ("float32", 1024, True, F32),
        ("bfloat16", 128, False, BF16),
    ],
)
def test_towers_on_a_cpu(monkeypatch, name, width, able, wanted):
    monkeypatch.setattr(device, "multiplies_in_bfloat16", lambda: able)
    stored = lambda: pytest.fail("headers were read")  # noqa: E731
    assert pick_dtype(name, torch.device("cpu"), stored, tower_width=width) == wanted


@pytest.mark.parametrize(
    ("there", "kernels", "able"),
    [
        ({"avx512_bf16": True, "amx_bf16": True}, True, True),
        ({"avx512_bf16": True, "amx_bf16": False}, True, True),
        ({"amx_bf16": True}, True, True),
        # Emulated by AVX512's other instructions: PyTorch says that it can, and is slower.
        ({"avx512_bf16": False, "avx512_f": True, "amx_bf16": False}, True, False),
        # Arm's, which nobody has measured.
        ({"architecture": "aarch64", "bf16": True}, True, False),
        ({"avx512_bf16": True}, False, False),
    ],
)
def test_what_a_cpu_multiplies_in(monkeypatch, there, kernels, able):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: kernels)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: there, raising=False)
    assert multiplies_in_bfloat16() is able


@pytest.mark.parametrize("able", [True, False, None])
def test_what_a_cpu_multiplies_in_asked_of_an_older_torch(monkeypatch, able):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    if able is not None:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able, raising=False)
    assert multiplies_in_bfloat16() is bool(able)


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
