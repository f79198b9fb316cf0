"""What a model runs on, and in which dtype."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from services.common.settings import Device, Dtype, SettingError

logger = logging.getLogger(__name__)

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


def pick_dtype(name: Dtype, device: torch.device, stored: Callable[[], torch.dtype]) -> torch.dtype:
    """``auto`` is float32 (exact) on a CPU, and on a GPU what the weights are stored in.

    Weights in float32 become bfloat16 there, as with vLLM: it has float32's range, so that nothing overflows. A GPU
    without bfloat16 gets float16 in its place.

    Args:
        name: as HEROSERVE_DTYPE says.
        device: that the model runs on.
        stored: says what its weights are stored in; asked where that matters.

    Raises:
        SettingError: bfloat16 is asked for, and the GPU has none.
    """
    if device.type == "cpu":
        return torch.float32 if name == "auto" else DTYPES[name]
    able = torch.cuda.is_bf16_supported(including_emulation=False)
    if name == "auto":
        own = stored()
        dtype = own if own == torch.float16 else torch.bfloat16
        if dtype == torch.bfloat16 and not able:
            logger.warning(
                "HEROSERVE_DTYPE=auto is float16: weights in %s would be bfloat16, and this GPU has none; "
                "where values overflow, set it to float32",
                str(own).removeprefix("torch."),
            )
            return torch.float16
        return dtype
    if name == "bfloat16" and not able:
        raise SettingError("HEROSERVE_DTYPE='bfloat16': this GPU has none, that takes compute capability 8.0")
    return DTYPES[name]
