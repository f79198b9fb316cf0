"""A real stack under load and faults, scraped by a real Prometheus: what a ``Recording`` is made of."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import heroserve
from benchmarks.boards.callers import Callers
from benchmarks.boards.events import EVENTS, all_of
from benchmarks.boards.recording import Happened, Recording
from benchmarks.load.questions import Known, known_questions
from scripts.programs import found
from scripts.prometheus import EXPORTERS
from scripts.redis_server import RedisServer
from scripts.scraping import scraping
from scripts.stack import Ports, Stack

_SCENES = 6
_PATIENCE_S = 600.0
# As in production, and so small that some goes: what is new for ever can't all be kept.
_REDIS = {"maxmemory": "6mb", "maxmemory-policy": "allkeys-lfu"}
# Small enough for the load to be seen.
_SETTINGS = {"HEROSERVE_CACHE_TTL_S": "60", "HEROSERVE_MAX_QUEUED_REQUESTS": "48"}
_VLLM = {
    "HEROSERVE_ENGINE": "vllm",
    "HEROSERVE_VLLM_ARGS": "--num-gpu-blocks-override 40 --max-num-seqs 16",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}


def record(packed: Path, every_s: int, *, vllm: bool) -> None:
    """Start all of it, load it for minutes, and pack what Prometheus stored.

    Args:
        packed: see ``Recording.pack``.
        every_s: between scrapes.
        vllm: the language model is in a vLLM within the service, so that there is an engine to look at.

    Raises:
        MissingProgram: Prometheus or Redis's exporter is not there.
        SettingError, StackError: as ``Stack.start``.
    """
    # Told before anything is started.
    found(*EXPORTERS)
    os.environ |= {**_SETTINGS, **(_VLLM if vllm else {})}
    with tempfile.TemporaryDirectory(prefix="heroserve-boards-") as name, ExitStack() as on_exit:
        folder = Path(name)
        stack = Stack(Ports.free(), folder, lambda service, words: print(f"{service}: {words}", flush=True))
        stack.redis = RedisServer(stack.ports.redis, folder, _REDIS)
        on_exit.callback(stack.stop)
        stack.start(_PATIENCE_S)
        with heroserve.Client(f"localhost:{stack.ports.llm}") as client:
            known = known_questions(client, _SCENES)
        prometheus = on_exit.enter_context(scraping(stack.ports, stack.redis.url, folder, every_s))
        start = time.time()
        asyncio.run(_load(stack, known))
        # What was counted last is scraped too.
        time.sleep(2 * every_s)
        events = tuple(Happened(event.at_s, event.words) for event in EVENTS)
        Recording(start, time.time(), every_s, events).pack(prometheus.snapshot(), packed)


async def _load(stack: Stack, known: Sequence[Known]) -> None:
    async with Callers(stack.ports, known).flowing():
        await all_of(stack, known)
