"""A language model's weights in files of their own, as they are stored: read and written a few at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path

from safetensors.torch import save_file

from services.common.weights.file import SERVED
from services.common.weights.stored import StoredTensor

_INDEX = "model.safetensors.index.json"
# So much is in memory at once, and in a file; a tensor that is larger has one of its own.
SHARD_BYTES = 2 << 30


def size_of(tensor: StoredTensor) -> int:
    """Bytes of its values."""
    return prod(tensor.shape) * SERVED[tensor.kind].itemsize


def write_weights(weights: Mapping[str, StoredTensor], folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Write them in safetensors.

    Args:
        weights: by the names to write them under.
        folder: where to.
        shard_bytes: of a file, at most.

    Raises:
        OSError, SafetensorError: a file can't be written.
    """
    shards = _shards(weights, shard_bytes)
    index: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        # Of a tensor that is part of another, safetensors wants a copy of its own.
        tensors = {name: weights[name].read().contiguous() for name in names}
        save_file(tensors, folder / file, {"format": "pt"})
        index |= dict.fromkeys(names, file)
    if len(shards) > 1:
        total = sum(map(size_of, weights.values()))
        content = {"metadata": {"total_size": total}, "weight_map": index}
        (folder / _INDEX).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def _shards(weights: Mapping[str, StoredTensor], shard_bytes: int) -> list[list[str]]:
    """Names of each file, in their order."""
    shards: list[list[str]] = [[]]
    left = shard_bytes
    for name, tensor in weights.items():
        size = size_of(tensor)
        if size > left and shards[-1]:
            shards.append([])
            left = shard_bytes
        shards[-1].append(name)
        left -= size
    return shards
