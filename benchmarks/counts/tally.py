"""What is counted while a request is served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from redis.asyncio.connection import AbstractConnection
from torch._C._profiler import _ExperimentalConfig

Counts = dict[str, int]

# Operators that write a tensor's values anew, in place of a view of them.
_COPYING = {"aten::copy_", "aten::clone", "aten::_to_copy", "aten::cat", "aten::index_put_"}
# Of Redis's own numbers; a TCP segment more or less changes nothing in them.
_REDIS = {"bytes to redis": "total_net_input_bytes", "bytes from redis": "total_net_output_bytes"}


class Tally:
    """Adds up by name; ``add`` may be called from any coroutine of one loop."""

    def __init__(self) -> None:
        self.counts: Counts = {}

    def add(self, name: str, count: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + count


@contextmanager
def round_trips(tally: Tally) -> Iterator[None]:
    """Each write to a Redis connection: a command, or a pipeline of several.

    What a new connection begins with is none: how many are open at once is chance.
    """
    send, greet = AbstractConnection.send_packed_command, AbstractConnection.on_connect_check_health
    greeting: set[int] = set()

    async def counted(self: AbstractConnection, *args: Any, **options: Any) -> None:
        if id(self) not in greeting:
            tally.add("redis round trips")
        await send(self, *args, **options)

    async def begin(self: AbstractConnection, *args: Any, **options: Any) -> None:
        greeting.add(id(self))
        try:
            await greet(self, *args, **options)
        finally:
            greeting.discard(id(self))

    AbstractConnection.send_packed_command = counted  # type: ignore[method-assign]
    AbstractConnection.on_connect_check_health = begin  # type: ignore[method-assign]
    try:
        yield
    finally:
        AbstractConnection.send_packed_command = send  # type: ignore[method-assign]
        AbstractConnection.on_connect_check_health = greet  # type: ignore[method-assign]


@contextmanager
def operators(tally: Tally) -> Iterator[None]:
    """Torch's, of all threads, and which of them copy."""
    profile = torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU],
        experimental_config=_ExperimentalConfig(profile_all_threads=True),
    )
    with _silent():
        profile.start()
    try:
        yield
    finally:
        with _silent():
            profile.stop()
    for event in profile.events():  # type: ignore[no-untyped-call]
        if event.name.startswith("aten::"):
            tally.add("operators")
            if event.name in _COPYING:
                tally.add("operators that copy")


@contextmanager
def _silent() -> Iterator[None]:
    """Torch's profiler writes a line to this process's stderr whenever it starts or stops, whatever is set."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def redis_bytes(before: dict[str, Any], after: dict[str, Any]) -> Counts:
    """Between two answers to INFO, what the second has in it of the first left out."""
    return {name: int(after[key]) - int(before[key]) for name, key in _REDIS.items()}
