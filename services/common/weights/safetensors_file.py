"""A safetensors file, and what is wrong with one that can't be opened."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from services.common.weights.file import DamagedError, Header, not_weights

# The format's own bound.
_MAX_HEADER_BYTES = 100_000_000


class SafetensorsFile:
    """A ``WeightsFile``.

    Read, and not mapped into memory: a file that is replaced in place would change, or end, a service that runs.

    Raises:
        DamagedError: it is not whole, or something else.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        try:
            self._file = _open(path)
        except SafetensorError as error:
            raise DamagedError(not_weights(path) or _damage(path, str(error))) from error
        slices = {key: self._file.get_slice(key) for key in self._file.keys()}  # noqa: SIM118  # it is no mapping
        self.header: Header = {key: (part.get_dtype(), tuple(part.get_shape())) for key, part in slices.items()}

    def read(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._file.get_tensor(name)
        return tensor


def _open(path: Path) -> Any:
    # It has no types.
    return safe_open(path, framework="pt", backend="pread")


def _damage(path: Path, reason: str) -> str:
    """What is wrong with a file that safetensors refuses for this reason."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(9)
        # A length, and the header itself: JSON, and an object.
        length = struct.unpack("<Q", begin[:8])[0] if len(begin) == 9 else 0
        if begin[8:] != b"{" or not 2 <= length <= _MAX_HEADER_BYTES:
            return "is no safetensors file"
        header = begin[8:] + file.read(length - 1)
    if len(header) < length:
        return f"is cut short: {size} bytes, and its header alone has {length}; download it again"
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        end = 8 + length + max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return f"is damaged: its header can't be read ({reason})"
    if size < end:
        return f"is cut short: {size} of {end} bytes; download it again"
    if size > end:
        return f"is damaged: {size} bytes, where its header tells of {end}; download it again"
    return f"is damaged ({reason})"
