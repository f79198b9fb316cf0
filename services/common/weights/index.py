"""Which files hold a checkpoint's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from services.common.checkpoint import Checkpoint
from services.common.shown import shown, shown_name
from services.common.weights.file import DamagedError, WeightsFile
from services.common.weights.safetensors_file import SafetensorsFile
from services.common.weights.torch_file import TorchFile

# In transformers' order: what is there first is read.
_FORMATS: dict[str, Callable[..., WeightsFile]] = {
    "model.safetensors": SafetensorsFile,
    "pytorch_model.bin": TorchFile,
}


def weights_files(source: Checkpoint, select: Callable[[str], object | None]) -> list[WeightsFile]:
    """The files with a tensor that ``select`` wants, open; those of a hub's checkpoint are fetched.

    Raises:
        SettingError: there are none, or one that is not whole.
    """
    single, index = _entry(source)
    if index is None:
        return [open_weights(source, single, _FORMATS[single])]
    files = []
    for shard, held in sorted(_shards(source, index).items()):
        names = [name for name in held if select(name) is not None]
        if not names:
            continue
        if source.path(shard) is None:
            raise source.unusable(f"{shown_name(shard)} is missing; {index} says that it holds {shown_name(names[0])}")
        file = open_weights(source, shard, _FORMATS[single])
        lost = [name for name in names if name not in file.header]
        if lost:
            raise source.unusable(
                f"{index} says that {shown_name(shard)} holds {shown_name(lost[0])}, and it does not; "
                "download both again"
            )
        files.append(file)
    return files


def weight_files(source: Checkpoint) -> dict[str, list[str]]:
    """Its files of weights, there or not, and the tensors in each; an empty list where only the file itself knows.

    Raises:
        SettingError: it has no weights.
    """
    single, index = _entry(source)
    return {single: []} if index is None else _shards(source, index)


def _entry(source: Checkpoint) -> tuple[str, str | None]:
    """The format's single file, and the index that is there in its place."""
    for single in _FORMATS:
        index = f"{single}.index.json"
        if source.path(single) is not None:
            return single, None
        if source.path(index) is not None:
            return single, index
    names = [f"{single} and {single}.index.json" for single in _FORMATS]
    raise source.unusable(f"it has no weights: none of {', '.join(names)} is there")


def _shards(source: Checkpoint, index: str) -> dict[str, list[str]]:
    """What an index says, by file."""
    shards: dict[str, list[str]] = {}
    for name, shard in _weight_map(source, index).items():
        shards.setdefault(shard, []).append(name)
    return shards


def _weight_map(source: Checkpoint, index: str) -> dict[str, str]:
    content: Any = source.json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not weight_map or not isinstance(weight_map, dict):
        raise source.unusable(f"{index} has no weight_map")
    for name, shard in weight_map.items():
        # What is fetched or opened is the checkpoint's own.
        if not isinstance(shard, str) or PurePosixPath(shard).is_absolute() or ".." in PurePosixPath(shard).parts:
            raise source.unusable(
                f"{index} says that {shown(shard)} holds {shown_name(name)}, which is no name of a file of it"
            )
    return weight_map


def open_weights(source: Checkpoint, name: str, kind: Callable[..., WeightsFile] | None = None) -> WeightsFile:
    """One of its files, by default of the format that its name tells.

    Raises:
        SettingError: it is not whole, or can't be read.
    """
    kind = kind or (SafetensorsFile if name.endswith(".safetensors") else TorchFile)
    path = source.path(name)
    if path is None:
        raise source.unusable(f"{shown_name(name)} is missing")
    try:
        return kind(name, path)
    except DamagedError as error:
        raise source.unusable(f"{shown_name(name)} {error}") from error
    except OSError as error:
        raise source.unusable(f"{shown_name(name)} can't be read ({error.strerror or error})") from error
