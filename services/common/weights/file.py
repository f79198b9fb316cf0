"""One file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch

# What weights may be stored in, as safetensors names it.
SERVED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

# Of each tensor: its dtype as safetensors names it, and its shape.
Header = Mapping[str, tuple[str, tuple[int, ...]]]


class WeightsFile(Protocol):
    """A file whose header has been read."""

    @property
    def name(self) -> str:
        """As the checkpoint names it."""
        ...

    @property
    def header(self) -> Header: ...

    def read(self, name: str) -> torch.Tensor:
        """A tensor's values on the CPU, in memory of their own: what happens to the file later changes nothing."""
        ...


class DamagedError(Exception):
    """A file is no weights; the message says what it "is", and what to do."""


def not_weights(path: Path) -> str | None:
    """What a file is that holds no weights of any format."""
    size = path.stat().st_size
    if size == 0:
        return "is empty; download it again"
    with path.open("rb") as file:
        begin = file.read(64).lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"is a web page of {size} bytes in place of the weights; download it again"
    return None
