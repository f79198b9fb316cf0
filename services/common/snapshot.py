"""Which files a model's name stands for: a folder's, or those of one commit on the hub.

That is settled once, by the process that starts a service. Its replicas are handed the outcome, and ask nobody again.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is of the library it is built on
    GatedRepoError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils._validators import validate_repo_id

from services.common.settings import SettingError

# What is raised where the hub can't be reached, refuses, or answers what is no answer of a hub.
UNREACHABLE = (HTTPError, OSError, ValueError)
# One question, asked once; with a filled cache nobody waits longer than this for it.
_TIMEOUT_S = 5.0
# Some libraries list all that they know.
_LONG = 300
_COMMIT = re.compile(r"[0-9a-f]{40}")
# What configs, tokenizers and templates are read from: small, and never code.
_SMALL = {".json", ".jinja", ".model", ".txt", ".tiktoken"}
_TEMPLATES = "additional_chat_templates"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The files of a folder, or of one commit of a model on the hub.

    Args:
        name: folder, or hub id.
        commit: on the hub; "" for a folder.
        files: that the commit has; of a folder it is not asked beforehand.
        cached_only: the hub could not be asked, and ``files`` are those that the cache has.
    """

    name: str
    commit: str = ""
    files: frozenset[str] = frozenset()
    cached_only: bool = False

    def find(self, filename: str) -> Path | None:
        """Local path of one of its files, fetched if the cache does not have it; None if it has no such file.

        Raises:
            ValueError, OSError, HTTPError: it can't be fetched.
        """
        if not self.commit:
            path = Path(self.name) / filename
            return path if path.is_file() else None
        if filename not in self.files:
            return None
        cached = try_to_load_from_cache(self.name, filename, revision=self.commit)
        if isinstance(cached, str):
            return Path(cached)
        return Path(hf_hub_download(self.name, filename, revision=self.commit, local_files_only=self.cached_only))

    def folder(self) -> Path:
        """A folder with all its files but weights and code, fetched if need be, for libraries that want one.

        Raises:
            ValueError, OSError, HTTPError: they can't be fetched.
        """
        if not self.commit:
            return Path(self.name)
        for file in sorted(self.files):
            path = Path(file)
            if path.suffix in _SMALL and str(path.parent) in (".", _TEMPLATES):
                self.find(file)
        return _cached(self.name) / "snapshots" / self.commit


def settle(name: str, variable: str, revision: str = "") -> Snapshot:
    """What a setting means now.

    Args:
        name: folder, or hub id.
        variable: the environment variable it came from.
        revision: branch, tag or commit on the hub; "" is the default branch.

    Raises:
        SettingError: there is no such model or revision, or it is neither at hand nor to be had.
    """
    asked = f"{revision_variable(variable)}={revision!r}"
    try:
        is_folder = Path(name).is_dir()
    except OSError as error:
        raise SettingError(f"{variable}={name!r}: no checkpoint found ({first_line(error)})") from error
    if is_folder:
        if revision:
            raise SettingError(
                f"{asked}: {variable}={name!r} is a folder, which has no revisions; leave it blank, or name a hub id"
            )
        return Snapshot(name)
    missing = _no_hub_id(name)
    if missing:
        raise SettingError(f"{variable}={name!r}: no checkpoint found ({missing})")
    # No name in git, but a way to another place in a URL and in the cache.
    if revision and not {"", ".", ".."}.isdisjoint(revision.split("/")):
        raise SettingError(f"{asked}: {variable}={name!r} has no such branch, tag or commit")
    if constants.is_offline_mode():
        problem: Exception | None = None
    else:
        try:
            return _asked(name, revision)
        except RevisionNotFoundError as error:
            raise SettingError(f"{asked}: {variable}={name!r} has no such branch, tag or commit") from error
        except UNREACHABLE as error:
            problem = error
    cached = _from_cache(name, revision)
    if cached is None:
        raise SettingError(_not_at_hand(name, variable, revision, problem)) from problem
    if problem is not None:
        logger.warning(
            "%s=%r: the hub can't be asked (%s); what the cache has of it is used, commit %s",
            *(variable, name, first_line(problem), cached.commit),
        )
    return cached


def revision_variable(variable: str) -> str:
    """Of a variable that names a model, the one that names its revision."""
    return f"{variable.removesuffix('_MODEL')}_REVISION"


def cached_commit(folder: Path) -> str:
    """The commit that a folder in the hub's cache is a snapshot of; "" for any other folder."""
    folder = folder.resolve()
    repository = folder.parent.parent
    in_cache = folder.parent.name == "snapshots" and repository.name.startswith("models--")
    return folder.name if in_cache and _COMMIT.fullmatch(folder.name) else ""


def first_line(error: Exception) -> str:
    """What a library says, as it fits into a line of ours."""
    line, _, rest = str(error).strip().partition("\n")
    if line.endswith(":"):  # what it is about; what of it comes next
        line = f"{line} {rest.strip().partition(chr(10))[0]}"
    line = line or type(error).__name__
    return line if len(line) <= _LONG else f"{line[:_LONG]} ..."


def _no_hub_id(name: str) -> str:
    """Why this can't be one; "" if it can."""
    if Path(name).exists():
        return "it is a file; expected a folder, or a hub id"
    try:
        validate_repo_id(name)
    except HFValidationError:
        return "there is no such folder"
    return ""


def _asked(name: str, revision: str) -> Snapshot:
    """One request: which commit it is, and which files that has."""
    info = HfApi().model_info(name, revision=revision or None, timeout=_TIMEOUT_S)
    if not info.sha:
        raise ValueError("it names no commit")
    snapshot = Snapshot(name, info.sha, frozenset(file.rfilename for file in info.siblings or ()))
    # Not before there is something of it, or the next start without network would find nothing.
    if snapshot.find("config.json") is not None:
        _remember(name, revision, info.sha)
    return snapshot


def _remember(name: str, revision: str, commit: str) -> None:
    """For a start without network, where huggingface_hub itself keeps it."""
    reference = _reference(name, revision)
    try:
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit, encoding="utf-8")
    except OSError as error:
        # A cache that is only read is good enough for all but that.
        logger.debug("%s can't be written: %s", reference, error)


def _from_cache(name: str, revision: str) -> Snapshot | None:
    if _COMMIT.fullmatch(revision):
        commit = revision
    else:
        reference = _reference(name, revision)
        commit = reference.read_text(errors="replace").strip() if reference.is_file() else ""
    root = _cached(name) / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not root.is_dir():
        return None
    files = frozenset(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return Snapshot(name, commit, files, cached_only=True)


def _not_at_hand(name: str, variable: str, revision: str, problem: Exception | None) -> str:
    if isinstance(problem, GatedRepoError):
        return f"{variable}={name!r}: the hub gives it to those only who asked for it on its page, and set HF_TOKEN"
    if isinstance(problem, RepositoryNotFoundError):
        return (
            f"{variable}={name!r}: no checkpoint found (there is no such folder, and the hub has no such model, or "
            "shows it only to those who set HF_TOKEN)"
        )
    why = "HF_HUB_OFFLINE is set" if problem is None else f"the hub can't be asked: {first_line(problem)}"
    if revision:
        return (
            f"{revision_variable(variable)}={revision!r}: the cache has no such revision of {variable}={name!r} ({why})"
        )
    return f"{variable}={name!r}: no checkpoint found (there is no such folder, the cache does not have it, and {why})"


def _cached(name: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model")


def _reference(name: str, revision: str) -> Path:
    return _cached(name) / "refs" / (revision or constants.DEFAULT_REVISION)
