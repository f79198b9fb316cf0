"""The folder that a service's processes share: one of their own, marked as ours, in the folder that a setting names.

Whatever else lies there stays: only names that we gave are ever removed, and a folder that somebody else made, or a
link, is not used at all. Else who guesses its name, where all may write, would turn our writing against others.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from services.common import metric_files
from services.common.settings import SettingError
from services.common.shown import one_line, shown_name

# Where prometheus_client, when it is imported, takes it from.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MARK = "heroserve-metrics"
READY = "ready"
# Characters of one that a line repeats.
_PATH = 300

_MARKED = "Made by heroserve for the counts of one service's processes; removed when it stops.\n"


def own(folder: Path) -> None:
    """Make it, private and marked, or find it so; several processes may at once.

    Raises:
        SettingError: it is a link, another user's, open to others, or has files without our mark; the same for the
            folder that it lies in, but that one may be root's, and have what it likes.
    """
    try:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for path in (folder.parent, folder):
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                _check(path, private=path == folder)
        if not _is_marked(folder):
            # The mark is always the first file, so what was there without it is somebody else's.
            others = sorted(set(os.listdir(folder)) - {MARK})
            if others and not _is_marked(folder):
                reason = f"has files that heroserve did not make ({shown_name(others[0])})"
                raise _refusal(folder, reason, "name another folder")
            (folder / MARK).write_text(_MARKED)
    except OSError as error:
        raise SettingError(f"{_named(folder)} can't be used ({error.strerror})") from error


def clear(folder: Path) -> None:
    """Remove all that processes left in it, but the mark. It is ``own``."""
    for entry in list(os.scandir(folder)):
        if (entry.name == READY or metric_files.is_ours(entry.name)) and not entry.is_dir(follow_symlinks=False):
            (folder / entry.name).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove it, if it is ours; what we did not put there stays, and it with that."""
    try:
        _check(folder, private=True)
    except (SettingError, OSError):
        return
    if _is_marked(folder):
        clear(folder)
        if os.listdir(folder) == [MARK]:
            (folder / MARK).unlink()
            folder.rmdir()


def _is_marked(folder: Path) -> bool:
    try:
        return stat.S_ISREG((folder / MARK).lstat().st_mode)
    except FileNotFoundError:
        return False


def _check(path: Path, *, private: bool) -> None:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise _refusal(path, f"is a link to {one_line(os.readlink(path), _PATH)}", "name the folder itself")
    if not stat.S_ISDIR(state.st_mode):
        raise _refusal(path, "is no folder", "name one")
    if state.st_uid != os.geteuid() and (private or state.st_uid != 0):
        raise _refusal(path, f"belongs to another user (uid {state.st_uid})", "name a folder of your own")
    if private and state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refusal(path, f"may be written by others ({stat.filemode(state.st_mode)})", "remove it, or chmod 700")


def _refusal(path: Path, reason: str, remedy: str) -> SettingError:
    return SettingError(f"{_named(path)} {reason}; {remedy}")


def _named(path: Path) -> str:
    return f"HEROSERVE_METRICS_DIR: {one_line(str(path), _PATH)}"
