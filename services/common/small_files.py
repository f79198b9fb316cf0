"""The small files of a snapshot that libraries read by themselves: what is wrong with one is told here, by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.common.hub_id import leads_nowhere
from services.common.shown import first_line
from services.common.snapshot import SMALL, TEMPLATES

# JSON objects, and what must be in them: transformers looks it up without asking.
_OBJECTS: dict[str, dict[str, type]] = {
    "tokenizer.json": {"model": dict, "added_tokens": list},
    "tokenizer_config.json": {},
    "special_tokens_map.json": {},
    "added_tokens.json": {},
    "processor_config.json": {},
    "chat_template.json": {"chat_template": object},
}
POINTER = "is a Git LFS pointer, not the file itself: run `git lfs pull`"
_NAMED = {*_OBJECTS, "tokenizer.model", "chat_template.jinja"}
# A template has some thousands of characters; what is as long as this takes the compiler minutes.
_LONGEST_TEMPLATE = 1 << 20


def flaw(folder: Path) -> str | None:
    """The first file that can't be what its name says, and why, as the rest of a sentence; None if there is none."""
    for path in sorted([*folder.iterdir(), *folder.glob(f"{TEMPLATES}/*")]):
        if path.suffix not in SMALL:
            continue
        try:
            problem = _problem(path)
        except OSError as error:
            problem = f"can't be read ({error.strerror or error})"
        if problem:
            return f"{path.relative_to(folder)} {problem}"
    return None


def is_pointer(path: Path) -> bool:
    """Whether a file is what ``git clone`` leaves in the place of a large one, without Git LFS."""
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \r\n").startswith(b"version https://git-lfs.github.com/")


def _problem(path: Path) -> str | None:
    if not path.is_file():
        if path.name not in _NAMED:
            return None
        return "is a link to what is not there" if leads_nowhere(path) else "is not a regular file"
    if is_pointer(path):
        return POINTER
    if path.suffix == ".jinja":
        return template_problem(path)
    return _odd_object(path) if path.name in _OBJECTS else None


def template_problem(path: Path) -> str | None:
    """Why a file can't be a chat template, as the rest of a sentence.

    Raises:
        OSError: it can't be read.
    """
    # Who opens a pipe waits for its other end.
    if path.exists() and not path.is_file():
        return "is not a regular file"
    if path.stat().st_size > _LONGEST_TEMPLATE:
        return f"has {path.stat().st_size} bytes; a chat template has {_LONGEST_TEMPLATE} at most"
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return f"is not text in UTF-8 ({error.reason} at byte {error.start})"
    return None


def _odd_object(path: Path) -> str | None:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        return f"is not JSON ({first_line(error)})"
    if not isinstance(content, dict):
        return f"is not a JSON object but {type(content).__name__}"
    for name, kind in _OBJECTS[path.name].items():
        if name not in content:
            return f"has no {name!r}"
        if not isinstance(content[name], kind):
            return f"has a {name!r} that is {type(content[name]).__name__}; expected {kind.__name__}"
    return None
