"""Hugging Face checkpoints, a hub id or a folder: their files, config and tokenizer. Weights are read in weights.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoTokenizer
from transformers.utils.hub import cached_file

from services.common.settings import SettingError


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
            raise self.unusable(f"no checkpoint found ({first_line(error)})") from error

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
            raise self.unusable(f"{filename} can't be fetched ({first_line(error)})") from error
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

    def tokenizer(self) -> Any:
        """Its tokenizer.

        Raises:
            SettingError: it has none that can be read.
        """
        try:
            return AutoTokenizer.from_pretrained(self.name)
        except (ImportError, OSError, ValueError) as error:
            problem = first_line(error)
            # Transformers then takes it for another kind of file, and asks for the package of that.
            if self.path("tokenizer.json") is None and self.path("tokenizer.model") and not find_spec("sentencepiece"):
                problem = "tokenizer.model without tokenizer.json takes `pip install sentencepiece`"
            raise self.unusable(f"it has no usable tokenizer ({problem})") from error

    def unusable(self, problem: str) -> SettingError:
        return SettingError(f"{self.variable}={self.name!r}: {problem}")


def first_line(error: Exception) -> str:
    """What a library says, as it fits into a line of ours."""
    return str(error).strip().partition("\n")[0]
