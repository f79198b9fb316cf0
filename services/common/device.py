"""What a model runs on, and in which dtype."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch

from services.common.settings import Device, Dtype, SettingError

logger = logging.getLogger(__name__)

# Values of a hidden state. A narrower model gains nothing by bfloat16, nor by more threads than one: what is converted,
# and who waits for whom, then weighs more than what is multiplied.
WIDE = 256
# What CPUs that multiply in bfloat16 say of themselves; those with AMX say both.
_IN_BFLOAT16 = ("avx512_bf16", "amx_bf16")

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def check_gpu() -> None:
    """Raises:
    SettingError: this machine has none.
    """
    if not torch.cuda.device_count():
        raise SettingError("HEROSERVE_DEVICE='cuda': this machine has no GPU")


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


def pick_dtype(
    name: Dtype, device: torch.device, stored: Callable[[], torch.dtype], *, tower_width: int = 0
) -> torch.dtype:
    """``auto`` is on a CPU float32 (exact), or bfloat16 for a tower that is wide enough where the CPU multiplies in it;
    on a GPU it is what the weights are stored in.

    Weights in float32 become bfloat16 there, as with vLLM: it has float32's range, so that nothing overflows. A GPU
    without bfloat16 gets float16 in its place.

    Args:
        name: as HEROSERVE_DTYPE says.
        device: that the model runs on.
        stored: says what its weights are stored in; asked where that matters.
        tower_width: of a tower's hidden states, in values; 0 for any other model.

    Raises:
        SettingError: bfloat16 is asked for, and the GPU has none.
    """
    if device.type == "cpu":
        if name == "auto":
            return torch.bfloat16 if tower_width >= WIDE and multiplies_in_bfloat16() else torch.float32
        return DTYPES[name]
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


def multiplies_in_bfloat16() -> bool:
    """Whether this CPU has instructions for it (AVX512-BF16, AMX), and this torch the kernels that use them.

    Elsewhere bfloat16 is emulated, and slower than float32.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    capabilities: Callable[[], Mapping[str, object]] | None = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is None:
        # A torch before 2.10.
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
    there = capabilities()
    return any(bool(there.get(name)) for name in _IN_BFLOAT16)
