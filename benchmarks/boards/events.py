"""What happens while callers ask: a burst, and one thing after the other that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc.aio
import psutil

from benchmarks.faults.fault import Fault
from benchmarks.faults.redis_faults import redis_faults
from benchmarks.faults.service_faults import service_faults
from benchmarks.faults.victims import processes, send
from benchmarks.load.drive import PlainCallers, open_loop
from benchmarks.load.questions import Known
from scripts.stack import Stack

_DECODER = "services.encoder.images.decoder_main"
# More than two cores answer, by callers who do not wait.
_BURST_RATE, _BURST_S, _BURST_DEADLINE_S = 60.0, 25.0, 2.0


@dataclass(frozen=True)
class Event:
    """Args:
    at_s: after the recording's start.
    words: for the picture's reader.
    happens: all of it.
    """

    at_s: float
    words: str
    happens: Callable[[Stack, Sequence[Known]], Awaitable[None]]


async def _burst(stack: Stack, known: Sequence[Known]) -> None:
    async with grpc.aio.insecure_channel(f"localhost:{stack.ports.llm}") as channel:
        await open_loop(PlainCallers(channel), known, _BURST_RATE, _BURST_S, _BURST_DEADLINE_S, seed=0)


def _for(fault: Fault, seconds: float = 0) -> Callable[[Stack, Sequence[Known]], Awaitable[None]]:
    async def happens(stack: Stack, known: Sequence[Known]) -> None:
        happening = fault.happens(stack)
        # In threads: some wait for processes.
        await asyncio.to_thread(happening.__enter__)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(happening.__exit__, None, None, None)

    return happens


@contextmanager
def _decoders_killed(stack: Stack) -> Iterator[None]:
    found = []
    for process in processes(stack, "encoder"):
        with contextlib.suppress(psutil.NoSuchProcess):
            if _DECODER in process.cmdline():
                found.append(process.pid)
    send(found, signal.SIGKILL)
    yield


_FAULTS = {fault.name: fault for fault in (*redis_faults(), *service_faults())}
_DECODERS = Fault("kill-decoders", "kill -9 of the encoder's decoders", _decoders_killed)

EVENTS = (
    Event(50, "more questions than two cores answer, for 25 s", _burst),
    Event(110, "a bit of every cache entry flipped, 8 times", _for(_FAULTS["redis-flipped"])),
    Event(140, "a Redis that takes no writes, for 20 s", _for(_FAULTS["redis-full"], 20)),
    Event(185, "no Redis, for 20 s", _for(_FAULTS["redis-killed"], 20)),
    Event(230, "decoders killed", _for(_DECODERS)),
    Event(255, "the encoder stopped, and started anew", _for(_FAULTS["restart-encoder"])),
)
LASTS_S = 420.0


async def all_of(stack: Stack, known: Sequence[Known], events: Sequence[Event] = EVENTS) -> None:
    """Each at its time, whatever the one before takes."""

    async def in_time(event: Event) -> None:
        await asyncio.sleep(event.at_s)
        await event.happens(stack, known)

    await asyncio.gather(*map(in_time, events), asyncio.sleep(LASTS_S))
