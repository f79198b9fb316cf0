"""Processes that are killed, or hang."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.faults.fault import Fault
from benchmarks.faults.victims import pids, send
from scripts.stack import Stack

# By the names that faults have: whose they are, and Ray's title of them.
PARTS = {
    # First: nobody else sees to it that what dies next comes back.
    "encoder-controller": ("encoder", "ServeController"),
    "llm-controller": ("llm", "ServeController"),
    "encoder": ("encoder", "ServeReplica:encoder:Encoder"),
    "tower": ("encoder", "ServeReplica:encoder:VisionTower"),
    "chat": ("llm", "ServeReplica:llm:Chat"),
    "encoder-proxy": ("encoder", "ProxyActor"),
    "llm-proxy": ("llm", "ProxyActor"),
}
_REPLICAS = ("encoder", "tower", "chat")
_WORDS = {
    "encoder": "Encoder replica",
    "tower": "VisionTower replica",
    "chat": "Chat replica",
    "encoder-controller": "the encoder's Serve controller",
    "llm-controller": "the LLM service's Serve controller",
    "encoder-proxy": "the encoder's proxy",
    "llm-proxy": "the LLM service's proxy",
}


def killed(name: str) -> Fault:
    service, title = PARTS[name]

    @contextmanager
    def happens(stack: Stack) -> Iterator[None]:
        send(_found(stack, service, title), signal.SIGKILL)
        yield

    return Fault(f"kill-{name}", f"kill -9 of {_WORDS[name]}", happens)


def hung(name: str) -> Fault:
    service, title = PARTS[name]

    @contextmanager
    def happens(stack: Stack) -> Iterator[None]:
        found = _found(stack, service, title)
        send(found, signal.SIGSTOP)
        try:
            yield
        finally:
            send(found, signal.SIGCONT)

    return Fault(f"hang-{name}", f"SIGSTOP of {_WORDS[name]}", happens, lasts=True)


def process_faults() -> list[Fault]:
    return [*map(killed, PARTS), *map(hung, _REPLICAS)]


def _found(stack: Stack, service: str, title: str) -> list[int]:
    found = pids(stack, service, title)
    if not found:
        raise RuntimeError(f"no process is called ray::{title}")
    return found
