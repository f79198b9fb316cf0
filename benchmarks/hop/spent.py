"""Processor time of the processes below this one, by what they are."""

from __future__ import annotations

import contextlib

import psutil

# Ray's title of a process, or what else its command line tells.
_KINDS = {
    "ray::ProxyActor": "proxy",
    "haproxy": "proxy",
    "ray::ServeReplica:": "replicas",
    "redis-server": "redis",
}
Spent = dict[str, float]


def spent() -> Spent:
    """Seconds of processor time so far, of all processes of a kind together; this one's own are not in it."""
    found: Spent = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            line = " ".join(process.cmdline()[:2])
            kind = next((kind for words, kind in _KINDS.items() if words in line), "ray")
            found[kind] = found.get(kind, 0.0) + times.user + times.system
    return found


def between(before: Spent, after: Spent) -> Spent:
    """What was spent meanwhile."""
    return {kind: seconds - before.get(kind, 0.0) for kind, seconds in after.items()}
