"""Whose the processor's time is: core-seconds of a benchmark's processes, by the part of the pipeline that each is."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping

import psutil

CALLERS = "callers"
REST = "the rest of Ray"
# What stands in a process's command line; the first that is found counts.
_PARTS = {
    ":VisionTower": "tower",
    ":Encoder": "ingress",
    ":Chat": "chat",
    ":Echo": "echo",
    ":Chain": "echo",
    "decoder_main": "decoders",
    "ProxyActor": "proxy",
    "redis-server": "Redis",
}
# In the order of a request's way.
PARTS = ("chat", "proxy", "ingress", "decoders", "tower", "Redis", "echo", CALLERS, REST)


def census() -> dict[str, float]:
    """Core-seconds so far, of this process and of all that it has started."""
    found: dict[str, float] = defaultdict(float)
    own = psutil.Process()
    found[CALLERS] = time.process_time()
    for process in own.children(recursive=True):
        try:
            found[_part(" ".join(process.cmdline()))] += _seconds(process.pid)
        except (psutil.NoSuchProcess, OSError):
            continue  # it has ended
    return found


def less(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """What has come since."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def _part(command: str) -> str:
    return next((part for word, part in _PARTS.items() if word in command), REST)


def _seconds(pid: int) -> float:
    """By the process's own clock, as clock_getcpuclockid(3) numbers it: /proc counts in hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)
