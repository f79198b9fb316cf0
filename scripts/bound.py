"""Processes that end with this one, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.common import parent

# The kernel goes by the thread that started them: one that stays until the end.
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="starts-processes")


def start_bound(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program, its name with a path, that the kernel kills when this process is gone.

    On Linux: elsewhere it goes on when this process is killed. Not by a function between fork and exec, which is not
    safe beside the threads that gRPC has.

    Args:
        command: the program and its arguments.
        options: as Popen's.
    """
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", parent.__file__, str(os.getpid()), *command]
    return _STARTER.submit(_start, command, options).result()


def _start(command: list[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, **options)
