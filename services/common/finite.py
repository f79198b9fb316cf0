"""What is said where a model's values are not finite, in both services."""

from __future__ import annotations

import torch

from services.common.errors import FailedPrecondition

_DTYPE = "HEROSERVE_DTYPE"
_REMEDIES = {
    torch.float16: "set {} to bfloat16 or float32",
    torch.bfloat16: "set {} to float32, or see whether the weights are whole",
}


def not_finite(model: str, source: str, dtype: torch.dtype, variable: str = _DTYPE) -> FailedPrecondition:
    """Not a bug, nothing that the caller can mend, and the same at the next try: the service is set up wrongly.

    Args:
        model: whose values are not finite, in ``dtype``.
        source: what it makes them of.
        dtype: that it runs in.
        variable: the setting at fault.
    """
    name = str(dtype).removeprefix("torch.")
    remedy = _REMEDIES.get(dtype, "the weights are not whole, or no good")
    remedy = remedy.format("it" if variable == _DTYPE else _DTYPE)
    return FailedPrecondition(
        f"{variable}: in {name} the {model} makes values of this {source} that are not finite; {remedy}"
    )


def unsayable(problem: str) -> FailedPrecondition:
    """Likewise of what a checkpoint's generation config makes of logits that are finite.

    Args:
        problem: with which they can't be drawn from.
    """
    return FailedPrecondition(f"generation_config.json can't be used ({problem})")
