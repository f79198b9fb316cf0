"""Counts on a disk that is full: they go on in memory, where the process would end with a bus error.

prometheus_client writes to memory that is mapped on sparse files. Where the disk has no room for a page that is written
to for the first time, the kernel knows only one way to say so, SIGBUS. Here room is taken before it is written to.
"""

from __future__ import annotations

import errno
import logging
import os
from typing import Any, BinaryIO

from prometheus_client import mmap_dict, values

# What prometheus_client begins a file with.
_BYTES = 1 << 16
# File systems that can't say beforehand, and no C library does it for them.
_UNABLE = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}

logger = logging.getLogger(__name__)


def install() -> None:
    """Have this process count so; before it makes its first metric."""
    # Elsewhere than on Linux a process can't say which memory a file is.
    if hasattr(os, "memfd_create"):
        values.MmapedDict = RoomyDict  # type: ignore[attr-defined]


class RoomyDict(mmap_dict.MmapedDict):
    """prometheus_client's file of values, on a disk that may be full.

    Args:
        filename: of the file.
        read_mode: nothing is written.
        spill: what has no room goes on in memory, where nobody else sees it.

    Raises OSError where there is no room, and it may not spill.
    """

    def __init__(self, filename: str, read_mode: bool = False, *, spill: bool = True) -> None:
        super().__init__(filename if read_mode else _roomy(filename, spill=spill), read_mode)  # type: ignore[no-untyped-call]
        if not read_mode:
            self._f: Any = _Growing(self._f, spill=spill)


class _Growing:
    """An open file that takes its room before it is written to."""

    def __init__(self, file: BinaryIO, *, spill: bool) -> None:
        self._file = file
        self._spill = spill

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()

    def truncate(self, size: int) -> None:
        try:
            _take_room(self._file.fileno(), size)
        except OSError as error:
            if not self._spill:
                raise
            _warn(error)
            with self._file as full:
                full.seek(0)
                memory = _memory()
                memory.write(full.read())
            memory.truncate(size)
            self._file = memory


def _roomy(filename: str, *, spill: bool) -> str:
    """The file's name, now that it has room, or another's, in memory."""
    try:
        with open(filename, "ab") as file:
            if file.tell() == 0:
                _take_room(file.fileno(), _BYTES)
    except OSError as error:
        if not spill:
            raise
        _warn(error)
        # The process's to the end; nobody has to close it.
        return f"/proc/self/fd/{os.memfd_create('metrics')}"
    return filename


def _take_room(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
        os.ftruncate(descriptor, size)


def _memory() -> BinaryIO:
    return open(os.memfd_create("metrics"), "w+b")


def _warn(error: OSError) -> None:
    logger.warning("HEROSERVE_METRICS_DIR: %s; what this process counts from now on is not told", error.strerror)
