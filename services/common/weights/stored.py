"""Stored tensors: what a checkpoint's files say of them. Bytes are read one tensor at a time, when asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import torch

from services.common.checkpoint import Checkpoint
from services.common.shown import shown_name
from services.common.weights.file import SERVED, WeightsFile
from services.common.weights.index import weights_files

# A stored tensor's name to the name it is wanted under; None for what isn't wanted.
Select = Callable[[str], str | None]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Args:
        name: that it is stored under.
        file: that holds it.
        kind: its dtype as safetensors names it: F32, BF16, F8_E4M3.
        shape: as stored.
    """

    name: str
    file: WeightsFile
    kind: str
    shape: tuple[int, ...]

    def read(self) -> torch.Tensor:
        """Its values, in the stored dtype, in the CPU's memory: a copy of what the file holds."""
        return self.file.read(self.name)

    def __str__(self) -> str:
        return f"{shown_name(self.name)} of {shown_name(self.file.name)}"


def stored_tensors(source: Checkpoint, select: Select) -> dict[str, StoredTensor]:
    """The tensors that ``select`` gives a name to, under that name. Only files that hold one are opened.

    Raises:
        SettingError: no weights, none that ``select`` wants, or a file that is not whole.
    """
    stored: dict[str, StoredTensor] = {}
    for file in weights_files(source, select):
        for name, (kind, shape) in file.header.items():
            wanted = select(name)
            if wanted is None:
                continue
            tensor = StoredTensor(name, file, kind, shape)
            if wanted in stored:
                raise source.unusable(f"its weights hold one tensor twice: {stored[wanted]}, and {tensor}")
            stored[wanted] = tensor
    if not stored:
        raise source.unusable("its weights hold none of the tensors this service needs")
    return stored


def prefixed(*prefixes: str) -> Select:
    """A ``select`` that keeps names under any of the prefixes, and cuts the first that fits off."""

    def select(name: str) -> str | None:
        for prefix in prefixes:
            if name.startswith(prefix):
                return name[len(prefix) :]
        return None

    return select


def main_dtype(stored: Mapping[str, StoredTensor]) -> torch.dtype:
    """That most of the values are stored in."""
    values: Counter[str] = Counter()
    for tensor in stored.values():
        values[tensor.kind] += prod(tensor.shape)
    return next((SERVED[kind] for kind, _ in values.most_common() if kind in SERVED), torch.float32)


def digest(tensors: Mapping[str, StoredTensor | torch.Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        values = (tensor.read() if isinstance(tensor, StoredTensor) else tensor).contiguous()
        whole.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        whole.update(values.flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()
