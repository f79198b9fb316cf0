"""Weights of a checkpoint, read one part at a time: only the shards that hold a wanted tensor are opened."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from services.common.checkpoint import Checkpoint, first_line

# A stored tensor's name to the name it is wanted under; None for what isn't wanted.
Select = Callable[[str], str | None]

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# Some older CLIP checkpoints have nothing else.
_TORCH = "pytorch_model.bin"


def read_tensors(source: Checkpoint, select: Select) -> dict[str, torch.Tensor]:
    """Load the tensors that ``select`` gives a name to, under that name, in their stored dtype.

    Raises:
        SettingError: no weights, or none that ``select`` wants.
    """
    tensors: dict[str, torch.Tensor] = {}
    for shard, names in _shards(source, select).items():
        path = source.path(shard)
        if path is None:
            raise source.unusable(f"{shard} is missing")
        try:
            tensors.update(_read(path, names, select))
        except (SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise source.unusable(f"{shard} is damaged or incomplete ({first_line(error)})") from error
    if not tensors:
        raise source.unusable("its weights hold none of the tensors this service needs")
    return tensors


def check_weights(source: Checkpoint) -> None:
    """Raises:
    SettingError: it has no weights.
    """
    _shards(source, lambda name: name)


def weight_files(source: Checkpoint) -> dict[str, list[str]]:
    """Its files of weights, there or not, and the tensors in each; an empty list where only the file itself knows.

    Raises:
        SettingError: it has no weights.
    """
    return _shards(source, lambda name: name)


def prefixed(*prefixes: str) -> Select:
    """A ``select`` that keeps names under any of the prefixes, and cuts the first that fits off."""

    def select(name: str) -> str | None:
        for prefix in prefixes:
            if name.startswith(prefix):
                return name[len(prefix) :]
        return None

    return select


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        whole.update(tensor.flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()


def load(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], source: Checkpoint) -> None:
    """Fill a module with exactly these weights.

    Raises:
        SettingError: a weight is missing, left over or of another shape.
    """
    try:
        model.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise source.unusable(f"weights do not fit the config: {error}") from error


def _shards(source: Checkpoint, select: Select) -> dict[str, list[str]]:
    """File name -> wanted tensors; an empty list means that its names must be read first."""
    if source.path(_SINGLE) is not None:
        return {_SINGLE: []}
    weight_map = source.json(_INDEX).get("weight_map")
    if not weight_map and source.path(_TORCH) is not None:
        return {_TORCH: []}
    if not weight_map:
        raise source.unusable(f"it has no weights: none of {_SINGLE}, {_INDEX} and {_TORCH} is there")
    shards: dict[str, list[str]] = {}
    for stored, shard in weight_map.items():
        if select(stored) is not None:
            shards.setdefault(shard, []).append(stored)
    return shards


def _read(path: Path, names: list[str], select: Select) -> dict[str, torch.Tensor]:
    """The wanted tensors of one file; ``names`` if they are known beforehand."""
    if path.suffix == ".bin":
        # weights_only: tensors are read, nothing is executed.
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {name: tensor for key, tensor in stored.items() if (name := select(key)) is not None}
    with safe_open(path, framework="pt") as weights:
        return {name: weights.get_tensor(key) for key in names or weights.keys() if (name := select(key)) is not None}
