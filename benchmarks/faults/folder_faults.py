"""The folder that a service's processes count in: gone, or on a disk that is full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.fault import Fault
from benchmarks.faults.process_faults import killed
from scripts.stack import Stack

VARIABLE = "HEROSERVE_METRICS_DIR"
# What processes of both services write is a part of it.
_DISK = "16m"


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Whether a file system of its own could be mounted on it, which takes root; it is gone afterwards."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=700", "heroserve-faults", str(folder)]
    mounted = os.geteuid() == 0 and _done(command)
    try:
        yield mounted
    finally:
        if mounted:
            _done(["umount", "--lazy", str(folder)])


def _done(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603


@contextmanager
def _gone(stack: Stack) -> Iterator[None]:
    for each in _folder().iterdir():
        shutil.rmtree(each)
    yield


@contextmanager
def _gone_and_killed(stack: Stack) -> Iterator[None]:
    with _gone(stack), killed("chat").happens(stack):
        yield


@contextmanager
def _full(stack: Stack) -> Iterator[None]:
    filler = _folder() / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass  # Full is what it shall be.
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _full_and_killed(stack: Stack) -> Iterator[None]:
    """Whoever comes after a dead replica has counts of its own to write."""
    with _full(stack), killed("chat").happens(stack), killed("encoder").happens(stack):
        yield


def folder_faults(*, own_disk: bool) -> list[Fault]:
    gone = Fault("counts-gone", "the metrics' folder removed, and a Chat replica killed", _gone_and_killed)
    full = [
        Fault("disk-full", "the metrics' disk full", _full, lasts=True),
        Fault("disk-full-kill", "the same, and Chat and Encoder replicas killed", _full_and_killed, lasts=True),
    ]
    return [*full, gone] if own_disk else [gone]


def _folder() -> Path:
    return Path(os.environ[VARIABLE])
