"""Hugging Face checkpoints, a hub id or a folder: their files, config and tokenizer. Weights are read in weights.py."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.common.hub import UNREACHABLE
from services.common.model_config import ODD, model_config
from services.common.settings import SettingError
from services.common.shown import assigned, first_line, one_line, shown_name
from services.common.small_files import POINTER, flaw, is_pointer
from services.common.snapshot import Snapshot, beside, is_hubs, settle

_CONFIG = "config.json"
# What a tokenizer's words are read from.
_TOKENIZERS = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "tiktoken.model"),
    *("spiece.model", "sentencepiece.bpe.model"),
)
# No file that means something is; libraries call themselves for each level.
_DEEPEST = 100
# By libraries that are handed a folder, and not by us.
_READ_BY_LIBRARIES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "adapter_config.json"),
)

# Of a checkpoint, when it is pickled.
_HANDED_ON = ("name", "variable", "revision", "revision_variable", "template_variable", "known_as", "snapshot")


class Checkpoint:
    """A checkpoint and the setting that named it, so that every failure can say which one to mend.

    What the name stands for is settled when it is first asked for. Pickled, it is handed on settled.

    Args:
        name: folder, or hub id.
        variable: the environment variable it came from, or a command's argument.
        revision: branch, tag or commit on the hub; "" is the default branch.
        revision_variable: where that came from; "" is the variable beside the other.
        template_variable: where a chat template in place of its own comes from.
    """

    def __init__(
        self,
        name: str,
        variable: str,
        revision: str = "",
        *,
        revision_variable: str = "",
        template_variable: str = "HEROSERVE_CHAT_TEMPLATE",
    ) -> None:
        self.name = name
        self.variable = variable
        self.revision = revision
        self.revision_variable = revision_variable or beside(variable)
        self.template_variable = template_variable
        # Once it is identified (identity.py).
        self.known_as = ""

    def __getstate__(self) -> dict[str, Any]:
        # The rest is read again from the same snapshot.
        return {name: getattr(self, name) for name in _HANDED_ON}

    @cached_property
    def snapshot(self) -> Snapshot:
        """Which files those are.

        Raises:
            SettingError: there are none.
        """
        return settle(self.name, self.variable, self.revision, self.revision_variable)

    def look(self) -> None:
        """Have its config read, where no hub need be asked for it: what is wrong then can be told before all else.

        Raises:
            SettingError: see ``snapshot`` and ``written``.
        """
        if not is_hubs(self.name):
            _ = self.written

    @cached_property
    def written(self) -> dict[str, Any]:
        """What its config.json says.

        Raises:
            SettingError: it has none, or none that is a JSON object.
        """
        if self.path(_CONFIG) is None:
            there = "is a folder" if (Path(self.name) / _CONFIG).is_dir() else "is not there"
            raise self.unusable(f"no checkpoint found ({_CONFIG} {there})")
        return self.json(_CONFIG)

    @property
    def model_type(self) -> Any:
        """As its config.json has it, which may be anything that JSON has; None if it has none.

        Raises:
            SettingError: see ``written``.
        """
        return self.written.get("model_type")

    @cached_property
    def config(self) -> Any:
        """The transformers config object.

        Raises:
            SettingError: there is no such checkpoint, or no usable config in it.
        """
        written = self.written
        try:
            return model_config(written)
        except ValueError as error:
            raise self.unusable(f"{_CONFIG} can't be used ({error})") from error

    @property
    def trained(self) -> bool:
        """False only for a checkpoint whose config says so: ``"heroserve": {"trained": false}``."""
        own = self.written.get("heroserve")
        return bool(own.get("trained", True)) if isinstance(own, dict) else True

    def find(self, filename: str) -> Path | None:
        """Local path of one of its files, fetched from the hub if need be; None if it has none.

        Raises:
            SettingError: it can't be fetched.
        """
        snapshot = self.snapshot
        try:
            return snapshot.find(filename)
        except UNREACHABLE as error:
            if snapshot.commit:
                raise self.unusable(f"{shown_name(filename)} can't be fetched ({first_line(error)})") from error
            raise self.unusable(f"{shown_name(filename)} can't be read ({_reason(error)})") from error

    def path(self, filename: str) -> Path | None:
        """As ``find``.

        Raises:
            SettingError: it can't be fetched, or what is there only stands for it.
        """
        found = self.find(filename)
        try:
            if found is None or not is_pointer(found):
                return found
        except OSError as error:
            raise self.unusable(f"{shown_name(filename)} can't be read ({_reason(error)})") from error
        raise self.unusable(f"{shown_name(filename)} {POINTER}")

    @cached_property
    def folder(self) -> Path:
        """A folder that has all its files but weights, for what wants one.

        Raises:
            SettingError: they can't be fetched, or are such that a library would fail of them.
        """
        snapshot = self.snapshot
        try:
            folder = snapshot.folder()
        except UNREACHABLE as error:
            raise self.unusable(f"its files can't be fetched ({first_line(error)})") from error
        for filename in _READ_BY_LIBRARIES:
            path = self.find(filename)
            try:
                content = None if path is None else json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue  # which is told where it is read
            except RecursionError as error:
                raise self.unusable(f"{filename} is not JSON ({first_line(error)})") from error
            self._check_depth(filename, content)
        return folder

    def json(self, filename: str) -> dict[str, Any]:
        """One of its JSON files; empty if it has none.

        Raises:
            SettingError: it can't be read, or is no JSON object.
        """
        path = self.path(filename)
        if path is None:
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise self.unusable(f"{filename} can't be read ({first_line(error)})") from error
        except (ValueError, RecursionError) as error:
            raise self.unusable(f"{filename} is not JSON ({first_line(error)})") from error
        self._check_depth(filename, content)
        if not isinstance(content, dict):
            raise self.unusable(f"{filename} is not a JSON object but {type(content).__name__}")
        return content

    def tokenizer(self) -> Any:
        """Its tokenizer; read once.

        Raises:
            SettingError: it has none that can be read.
        """
        return self._tokenizer

    @cached_property
    def _tokenizer(self) -> Any:
        # Not above: it takes seconds, and whoever refuses a name has no need of it.
        from transformers import AutoTokenizer

        folder = self.folder
        # Libraries say many things of a file that is not what they expect, and seldom which file.
        try:
            problem = flaw(folder)
        except OSError as error:
            raise self.unusable(f"its folder can't be read ({_reason(error)})") from error
        if problem:
            raise self.unusable(problem)
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        except Exception as error:
            # The library of tokenizers raises no narrower one.
            if not isinstance(error, ODD) and type(error) is not Exception:
                raise
            problem = first_line(error)
            if self.json("tokenizer_config.json").get("auto_map"):
                problem = "it is code of the checkpoint's own, which is never run"
            # Transformers then takes it for another kind of file, and asks for the package of that.
            if self.path("tokenizer.json") is None and self.path("tokenizer.model") and not find_spec("sentencepiece"):
                problem = "tokenizer.model without tokenizer.json takes `pip install sentencepiece`"
            elif not any(self.path(file) for file in _TOKENIZERS):
                problem = "tokenizer.json is not there"
            raise self.unusable(f"it has no usable tokenizer ({problem})") from error
        try:
            # Some of what its files say is looked at only when it reads a text.
            tokenizer("x")
        except ODD as error:
            problem = f"tokenizer_config.json makes a tokenizer that reads no text ({first_line(error)})"
            raise self.unusable(problem) from error
        return tokenizer

    def _check_depth(self, filename: str, content: Any) -> None:
        level = [content]
        for _ in range(_DEEPEST + 1):
            level = [inner for outer in level if isinstance(outer, dict | list) for inner in _within(outer)]
        if level:
            raise self.unusable(f"{filename} is nested more than {_DEEPEST} levels deep")

    def unusable(self, problem: str) -> SettingError:
        """What to raise of it, in a line; whatever of ``problem`` stands in its files is made to fit."""
        return SettingError(f"{assigned(self.variable, self.name)}: {one_line(problem)}")


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)


def _within(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
