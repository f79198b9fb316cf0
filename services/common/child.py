"""Processes of our own that work on what others wrote."""

from __future__ import annotations

import math
import os
import resource
import sys
import time

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")


def environment(**more: str) -> dict[str, str]:
    """What such a process needs to find our modules, and ``more``: no keys, and no passwords."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | more


def limit_memory(more_bytes: int) -> None:
    """Have this process take so much more than it has now, and no core be written of it.

    Of what is written to, not of addresses: those that allocators and threads put by cost nothing.
    """
    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (taken + more_bytes, taken + more_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_processor(more_s: float) -> None:
    """Have the kernel end this process by SIGXCPU when it has computed for so much longer."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + more_s), resource.RLIM_INFINITY))
