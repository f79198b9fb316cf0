"""What a model runs on, and in which dtype."""

from __future__ import annotations

import torch

from services.common.settings import Device, Dtype, SettingError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def pick_device(name: Device) -> torch.device:
    """``auto`` is the accelerator where there is one.

    Raises:
        SettingError: cuda is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingError("HEROSERVE_DEVICE='cuda': no CUDA device is available")
    return torch.device(name)


def pick_dtype(name: Dtype, device: torch.device) -> torch.dtype:
    """``auto`` is float16 on an accelerator and float32 (exact) on a CPU."""
    if name == "auto":
        name = "float32" if device.type == "cpu" else "float16"
    return DTYPES[name]
