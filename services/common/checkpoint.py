"""Hugging Face checkpoints, a hub id or a folder, read one part at a time.

The encoder needs a tower and the LLM service a language model, and neither should fetch or hold the other's
weights: only the shards that hold a wanted tensor are opened.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoTokenizer
from transformers.utils.hub import cached_file

from services.common.settings import Device, Dtype, SettingError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# Some older CLIP checkpoints have nothing else.
_TORCH = "pytorch_model.bin"

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Checkpoint:
    """A checkpoint and the setting that named it, so that every failure can say which one to mend.

    Args:
        name: folder, or hub id.
        variable: the environment variable it came from.
    """

    def __init__(self, name: str, variable: str) -> None:
        self.name = name
        self.variable = variable

    @cached_property
    def config(self) -> Any:
        """The transformers config object.

        Raises:
            SettingError: there is no such checkpoint, or no readable config in it.
        """
        try:
            return AutoConfig.from_pretrained(self.name)
        except (OSError, ValueError, StrictDataclassError) as error:
            raise self.unusable(f"no checkpoint found ({_first_line(error)})") from error

    @property
    def trained(self) -> bool:
        """False only for a checkpoint whose config says so: ``"heroserve": {"trained": false}``."""
        own: Mapping[str, Any] = getattr(self.config, "heroserve", None) or {}
        return bool(own.get("trained", True))

    def path(self, filename: str) -> Path | None:
        """Local path of one of its files, fetched from the hub if need be; None if it has none.

        Raises:
            SettingError: the hub can't be asked, and the file is not at hand.
        """
        try:
            found = cached_file(self.name, filename, _raise_exceptions_for_missing_entries=False)
        except OSError as error:
            raise self.unusable(f"{filename} can't be fetched ({_first_line(error)})") from error
        return Path(found) if found else None

    def json(self, filename: str) -> dict[str, Any]:
        """One of its JSON files; empty if it has none.

        Raises:
            SettingError: it is not JSON.
        """
        path = self.path(filename)
        if path is None:
            return {}
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self.unusable(f"{filename} is not JSON ({error})") from error
        return content

    def preprocessor_config(self) -> dict[str, Any]:
        """Its image preprocessing; newer checkpoints keep it inside processor_config.json.

        Raises:
            SettingError: it is not JSON.
        """
        return self.json("preprocessor_config.json") or self.json("processor_config.json").get("image_processor", {})

    def tokenizer(self) -> Any:
        """Its tokenizer.

        Raises:
            SettingError: it has none that can be read.
        """
        try:
            return AutoTokenizer.from_pretrained(self.name)
        except (ImportError, OSError, ValueError) as error:
            problem = _first_line(error)
            # Transformers then takes it for another kind of file, and asks for the package of that.
            if self.path("tokenizer.json") is None and self.path("tokenizer.model") and not find_spec("sentencepiece"):
                problem = "tokenizer.model without tokenizer.json takes `pip install sentencepiece`"
            raise self.unusable(f"it has no usable tokenizer ({problem})") from error

    def tensors(self, select: Callable[[str], str | None]) -> dict[str, torch.Tensor]:
        """Load the tensors that ``select`` gives a name to, under that name, in their stored dtype.

        Raises:
            SettingError: no weights, or none that ``select`` wants.
        """
        tensors: dict[str, torch.Tensor] = {}
        for shard, names in self._shards(select).items():
            path = self.path(shard)
            if path is None:
                raise self.unusable(f"{shard} is missing")
            try:
                tensors.update(_read(path, names, select))
            except (SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
                raise self.unusable(f"{shard} is damaged or incomplete ({_first_line(error)})") from error
        if not tensors:
            raise self.unusable("its weights hold none of the tensors this service needs")
        return tensors

    def check_weights(self) -> None:
        """Raises:
        SettingError: it has no weights.
        """
        self._shards(lambda name: name)

    def _shards(self, select: Callable[[str], str | None]) -> dict[str, list[str]]:
        """File name -> wanted tensors; an empty list means that its names must be read first."""
        if self.path(_SINGLE) is not None:
            return {_SINGLE: []}
        weight_map = self.json(_INDEX).get("weight_map")
        if not weight_map and self.path(_TORCH) is not None:
            return {_TORCH: []}
        if not weight_map:
            raise self.unusable(f"it has no weights: none of {_SINGLE}, {_INDEX} and {_TORCH} is there")
        shards: dict[str, list[str]] = {}
        for stored, shard in weight_map.items():
            if select(stored) is not None:
                shards.setdefault(shard, []).append(stored)
        return shards

    def unusable(self, problem: str) -> SettingError:
        return SettingError(f"{self.variable}={self.name!r}: {problem}")


def _read(path: Path, names: list[str], select: Callable[[str], str | None]) -> dict[str, torch.Tensor]:
    """The wanted tensors of one file; ``names`` if they are known beforehand."""
    if path.suffix == ".bin":
        # weights_only: tensors are read, nothing is executed.
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {name: tensor for key, tensor in stored.items() if (name := select(key)) is not None}
    with safe_open(path, framework="pt") as weights:
        return {name: weights.get_tensor(key) for key in names or weights.keys() if (name := select(key)) is not None}


def prefixed(*prefixes: str) -> Callable[[str], str | None]:
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


def pick_dtype(name: Dtype, device: torch.device) -> torch.dtype:
    """``auto`` is float16 on an accelerator and float32 (exact) on a CPU."""
    if name == "auto":
        name = "float32" if device.type == "cpu" else "float16"
    return DTYPES[name]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
