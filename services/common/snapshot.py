"""Which files a model's name stands for: a folder's, or those of one commit on the hub.

That is settled once, by the process that starts a service. Its replicas are handed the outcome, and ask nobody again.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from services.common import hub
from services.common.download import download
from services.common.hub_id import leads_nowhere, no_hub_id
from services.common.settings import SettingError
from services.common.shown import assigned, first_line, shown

# What configs, tokenizers and templates are read from: small, and never code.
SMALL = {".json", ".jinja", ".model", ".txt", ".tiktoken"}
TEMPLATES = "additional_chat_templates"
# Of a file's name, in bytes; git and the cache keep a branch's in one.
_LONGEST = 255

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
            if leads_nowhere(path):
                raise FileNotFoundError(f"it is a link to {os.readlink(path)}, which is not there")
            return path if path.is_file() else None
        if filename not in self.files:
            return None
        cached = try_to_load_from_cache(self.name, filename, revision=self.commit)
        if isinstance(cached, str):
            return Path(cached)
        return download(self.name, filename, self.commit, hub.cached_blobs(self.name), cached_only=self.cached_only)

    def at_hand(self, filename: str) -> Path | None:
        """The same of a file that can be done without: None where it would have to be fetched.

        Raises:
            OSError: it can't be read.
        """
        if not self.commit:
            return self.find(filename)
        cached = try_to_load_from_cache(self.name, filename, revision=self.commit)
        return Path(cached) if isinstance(cached, str) else None

    def folder(self) -> Path:
        """A folder with all its files but weights and code, fetched if need be, for libraries that want one.

        Raises:
            ValueError, OSError, HTTPError: they can't be fetched.
        """
        if not self.commit:
            return Path(self.name)
        for file in sorted(self.files):
            path = Path(file)
            if path.suffix in SMALL and str(path.parent) in (".", TEMPLATES):
                self.find(file)
        return hub.cached_folder(self.name, self.commit)


def is_hubs(name: str) -> bool:
    """Whether only the hub, or its cache, can tell what a name stands for."""
    try:
        return not Path(name).is_dir() and not no_hub_id(name, "")
    except OSError:
        return False


def settle(name: str, variable: str, revision: str = "", revision_variable: str = "") -> Snapshot:
    """What a setting means now.

    Args:
        name: folder, or hub id.
        variable: the environment variable it came from, or a command's argument.
        revision: branch, tag or commit on the hub; "" is the default branch.
        revision_variable: where that came from; "" is the variable beside the other.

    Raises:
        SettingError: there is no such model or revision, or it is neither at hand nor to be had.
    """
    revision_variable = revision_variable or beside(variable)
    asked = f"{revision_variable}={shown(revision)}"
    try:
        is_folder = Path(name).is_dir()
    except OSError as error:
        raise SettingError(f"{assigned(variable, name)}: no checkpoint found ({first_line(error)})") from error
    if is_folder:
        if revision:
            raise SettingError(
                f"{asked}: {assigned(variable, name)} is a folder, which has no revisions; leave it blank, or name a "
                "hub id"
            )
        return Snapshot(name)
    missing = no_hub_id(name, revision_variable)
    if missing:
        raise SettingError(f"{assigned(variable, name)}: no checkpoint found ({missing})")
    # No name in git, but a way to another place in a URL and in the cache.
    odd = not {"", ".", ".."}.isdisjoint(revision.split("/")) or len(os.fsencode(revision)) > _LONGEST
    if revision and odd:
        raise SettingError(f"{asked}: {assigned(variable, name)} has no such branch, tag or commit")
    if constants.is_offline_mode():
        problem: Exception | None = None
    else:
        try:
            return _asked(name, revision)
        except RevisionNotFoundError as error:
            raise SettingError(f"{asked}: {assigned(variable, name)} has no such branch, tag or commit") from error
        except hub.UNREACHABLE as error:
            problem = error
    try:
        cached = _from_cache(name, revision)
    except OSError as error:
        raise SettingError(
            f"{assigned(variable, name)}: the hub's cache can't be read ({first_line(error)})"
        ) from error
    if cached is None:
        raise SettingError(_not_at_hand(name, variable, revision, revision_variable, problem)) from problem
    if problem is not None:
        logger.warning(
            "%s=%r: the hub can't be asked (%s); what the cache has of it is used, commit %s",
            *(variable, name, first_line(problem), cached.commit),
        )
    return cached


def beside(variable: str) -> str:
    """Of a variable that names a model, the one that names its revision."""
    return f"{variable.removesuffix('_MODEL')}_REVISION"


def _asked(name: str, revision: str) -> Snapshot:
    commit, files = hub.ask(name, revision)
    snapshot = Snapshot(name, commit, files)
    # Not before there is something of it, or the next start without network would find nothing.
    if snapshot.find("config.json") is not None:
        hub.remember(name, revision, commit)
    return snapshot


def _from_cache(name: str, revision: str) -> Snapshot | None:
    commit = hub.recall(name, revision)
    if not commit:
        return None
    root = hub.cached_folder(name, commit)
    files = frozenset(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return Snapshot(name, commit, files, cached_only=True)


def _not_at_hand(name: str, variable: str, revision: str, revision_variable: str, problem: Exception | None) -> str:
    if isinstance(problem, GatedRepoError):
        return f"{variable}={name!r}: the hub gives it to those only who asked for it on its page, and set HF_TOKEN"
    if isinstance(problem, RepositoryNotFoundError):
        return (
            f"{variable}={name!r}: no checkpoint found (there is no such folder, and the hub has no such model, or "
            "shows it only to those who set HF_TOKEN)"
        )
    why = "HF_HUB_OFFLINE is set" if problem is None else f"the hub can't be asked: {first_line(problem)}"
    commits = hub.cached_commits(name)
    if commits:
        why = f"it has {', '.join(commits)}, and {why}"
    if revision:
        told = assigned(revision_variable, revision)
        return f"{told}: the cache has no such revision of {variable}={name!r} ({why})"
    if commits:
        return f"{variable}={name!r}: which commit of it to take is not known ({why}); set {revision_variable}"
    return f"{variable}={name!r}: no checkpoint found (there is no such folder, the cache does not have it, and {why})"
