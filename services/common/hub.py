"""The hub, and its cache on this machine, laid out as huggingface_hub does."""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the library it is built on
from huggingface_hub.file_download import repo_folder_name

from services.common.patience import patiently
from services.common.shown import first_line, shown

# What is raised where the hub can't be reached, refuses, or answers what is no answer of a hub.
UNREACHABLE = (HTTPError, OSError, ValueError)
# One question, asked once; with a filled cache nobody waits longer than this for it.
_TIMEOUT_S = 5.0
# Without one there is nothing but the answer.
_EMPTY_TIMEOUT_S = 30.0
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

logger = logging.getLogger(__name__)


def ask(name: str, revision: str) -> tuple[str, frozenset[str]]:
    """Which commit a branch, a tag or "" (the default branch) of a model is now, and which files it has.

    Raises:
        RevisionNotFoundError: the model has none of that name.
        ValueError, OSError, HTTPError: it can't be told.
    """
    timeout_s = _TIMEOUT_S if recall(name, revision) else _EMPTY_TIMEOUT_S
    try:
        info = patiently(lambda: HfApi().model_info(name, revision=revision or None, timeout=timeout_s), timeout_s)
    except (AttributeError, LookupError, RecursionError, TypeError) as error:
        # The library takes for granted what it is.
        raise ValueError(f"its answer is none of a hub's ({type(error).__name__}: {first_line(error)})") from error
    return _commit(info.sha), frozenset(_filename(file.rfilename) for file in info.siblings or ())


def remember(name: str, revision: str, commit: str) -> None:
    """For a start without network, where huggingface_hub itself keeps it."""
    reference = _reference(name, revision)
    try:
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit, encoding="utf-8")
    except OSError as error:
        # A cache that is only read is good enough for all but that.
        logger.debug("%s can't be written: %s", reference, error)


def recall(name: str, revision: str) -> str:
    """The commit that was remembered, or that ``revision`` is, if the cache has something of it; "" if not."""
    reference = _reference(name, revision)
    commit = reference.read_text(errors="replace").strip() if reference.is_file() else revision
    return commit if commit in cached_commits(name) else ""


def cached_commits(name: str) -> list[str]:
    """Those that the cache has something of."""
    folder = _cached(name) / "snapshots"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def cached_folder(name: str, commit: str) -> Path:
    """Where the cache has the files of a commit."""
    return _cached(name) / "snapshots" / commit


def cached_blobs(name: str) -> Path:
    """Where the cache keeps what snapshots point to."""
    return _cached(name) / "blobs"


def cached_commit(folder: Path) -> str:
    """The commit that a folder in the hub's cache is a snapshot of; "" for any other folder."""
    folder = folder.resolve()
    repository = folder.parent.parent
    in_cache = folder.parent.name == "snapshots" and repository.name.startswith("models--")
    return folder.name if in_cache else ""


def _commit(sha: Any) -> str:
    """It becomes a folder's name."""
    if not isinstance(sha, str) or not _SHA.fullmatch(sha):
        raise ValueError(f"its answer names no commit, but {shown(sha)}")
    return sha


def _filename(name: Any) -> str:
    """It becomes a path within that folder."""
    path = PurePosixPath(name) if isinstance(name, str) else None
    if path is None or path.is_absolute() or ".." in path.parts or "\0" in str(path):
        raise ValueError(f"its answer names a file {shown(name)}, which is no place in a model")
    return str(name)


def _cached(name: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")


def _reference(name: str, revision: str) -> Path:
    return _cached(name) / "refs" / (revision or constants.DEFAULT_REVISION)
