"""What is said where a model's values overflow its dtype, in both services."""

from __future__ import annotations

import torch

from services.common.errors import FailedPrecondition

_REMEDIES = {
    torch.float16: "set it to bfloat16 or float32",
    torch.bfloat16: "set it to float32, or see whether the weights are whole",
}


def not_finite(model: str, source: str, dtype: torch.dtype) -> FailedPrecondition:
    """Not a bug, nothing that the caller can mend, and the same at the next try: the service is set up wrongly.

    Args:
        model: whose values are not finite, in ``dtype``.
        source: what it makes them of.
        dtype: that it runs in.
    """
    name = str(dtype).removeprefix("torch.")
    remedy = _REMEDIES.get(dtype, "the weights are not whole, or no good")
    return FailedPrecondition(
        f"HEROSERVE_DTYPE: in {name} the {model} makes values of this {source} that are not finite; {remedy}"
    )


def unsayable(problem: str) -> FailedPrecondition:
    """Likewise of what a checkpoint's generation config makes of logits that are finite.

    Args:
        problem: with which they can't be drawn from.
    """
    return FailedPrecondition(f"generation_config.json can't be used ({problem})")
