"""Memory of a stack's processes, by what they are."""

from __future__ import annotations

import contextlib
from collections import Counter

import psutil

from benchmarks.faults.victims import processes
from scripts.stack import Stack


def resident_mib(stack: Stack) -> dict[str, int]:
    """MiB of all processes of a kind together; pages that they share count once for each."""
    found: Counter[str] = Counter()
    for service in stack.services:
        for process in processes(stack, service):
            with contextlib.suppress(psutil.NoSuchProcess):
                found[kind(service, process.cmdline())] += process.memory_info().rss
    return {name: size >> 20 for name, size in sorted(found.items())}


def kind(service: str, command: list[str]) -> str:
    """Ray's title of a process, or what else its command line tells."""
    line = " ".join(command)
    for part in ("Encoder", "VisionTower", "Chat"):
        if line.startswith(f"ray::ServeReplica:{service}:{part}"):
            return part
    for words, name in (
        ("ray::ProxyActor", "proxy"),
        ("ray::ServeController", "controller"),
        ("decoder_main", "decoders"),
        (f"services.{service}", "service"),
    ):
        if words in line:
            return f"{service} {name}"
    return f"{service} ray"
