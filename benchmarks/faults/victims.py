"""Processes of a stack's services, by what they are."""

from __future__ import annotations

import contextlib
import signal

import psutil

from scripts.stack import Stack


def processes(stack: Stack, service: str) -> list[psutil.Process]:
    """All of a service, Ray's included."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(stack.services[service].pid)
        return [root, *root.children(recursive=True)]
    return []


def pids(stack: Stack, service: str, title: str) -> list[int]:
    """Those of a service whose title begins so: ``ServeReplica:llm:Chat``, ``ServeController``, ``ProxyActor``."""
    found = []
    for process in processes(stack, service):
        with contextlib.suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).startswith(f"ray::{title}"):
                found.append(process.pid)
    return found


def send(found: list[int], number: signal.Signals) -> None:
    """A signal to each that still lives."""
    for pid in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).send_signal(number)


def resident_bytes(stack: Stack, service: str) -> int:
    """Memory of a service's processes; pages that they share count once for each."""
    total = 0
    for process in processes(stack, service):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total
