"""A pytorch_model.bin, which some older checkpoints have and nothing else. Nothing in it is executed."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from services.common.weights.file import SERVED, DamagedError, Header, not_weights

_KINDS = {dtype: kind for kind, dtype in SERVED.items()}


class TorchFile:
    """A ``WeightsFile``. Mapped into memory until it is let go of, where its format allows.

    Raises:
        DamagedError: it is not whole, or something else.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        problem = not_weights(path)
        if problem is not None:
            raise DamagedError(problem)
        # Before torch 1.6 it was no archive; one that is cut off has lost its table of contents, which is the end.
        whole = zipfile.is_zipfile(path)
        with path.open("rb") as file:
            if not whole and file.read(4) == b"PK\x03\x04":
                raise DamagedError("is cut short: its end is missing; download it again")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=whole)
        except (pickle.UnpicklingError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise DamagedError(_damage(error)) from error
        self._tensors = _tensors(content)
        self.header: Header = {
            key: (_kind(tensor), () if tensor.is_nested else tuple(tensor.shape))
            for key, tensor in self._tensors.items()
        }

    def read(self, name: str) -> torch.Tensor:
        return self._tensors[name].clone(memory_format=torch.contiguous_format)


def _kind(tensor: torch.Tensor) -> str:
    """Its dtype as safetensors names it, where it is values in their order, which alone are served."""
    dtype = _KINDS.get(tensor.dtype, str(tensor.dtype).removeprefix("torch."))
    if tensor.device.type != "cpu":
        return f"{dtype} on {tensor.device.type}, without values"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"{dtype} in the layout {'nested' if tensor.is_nested else str(tensor.layout).removeprefix('torch.')}"
    return dtype


def _damage(error: Exception) -> str:
    reason = str(error).strip()
    named = re.search(r"GLOBAL (\S+)", reason)
    if named:
        return f"holds more than tensors ({named[1]}), which could be code: it is not read; use a safetensors file"
    # What begins a file of another kind may be a pickle, though none that torch begins with.
    if isinstance(error, (pickle.UnpicklingError, LookupError, TypeError)) or "magic number" in reason:
        return "is no file of torch's"
    return f"is damaged or incomplete ({reason.partition(chr(10))[0] or 'it ends too early'}); download it again"


def _tensors(content: Any) -> dict[str, torch.Tensor]:
    named = content if isinstance(content, dict) else {}
    tensors = {key: value for key, value in named.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
    if not tensors:
        raise DamagedError("holds no tensors by name")
    return tensors
