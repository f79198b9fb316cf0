"""A real stack under load and faults, scraped by a real Prometheus: what a ``Recording`` is made of."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import heroserve
from benchmarks.boards.callers import Callers
from benchmarks.boards.events import EVENTS, all_of
from benchmarks.boards.recording import Happened, Recording
from benchmarks.load.questions import Known, known_questions
from scripts.programs import found, process, wait_for
from scripts.prometheus import EXPORTERS, Prometheus
from scripts.redis_server import RedisServer, free_port
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
    exporter = found(*EXPORTERS)
    os.environ |= {**_SETTINGS, **(_VLLM if vllm else {})}
    with tempfile.TemporaryDirectory(prefix="heroserve-boards-") as name, ExitStack() as on_exit:
        folder = Path(name)
        stack = Stack(Ports.free(), folder, lambda service, words: print(f"{service}: {words}", flush=True))
        stack.redis = RedisServer(stack.ports.redis, folder, _REDIS)
        on_exit.callback(stack.stop)
        stack.start(_PATIENCE_S)
        with heroserve.Client(f"localhost:{stack.ports.llm}") as client:
            known = known_questions(client, _SCENES)
        page = free_port()
        address = ["-redis.addr", stack.redis.url, "-web.listen-address", f"127.0.0.1:{page}"]
        log = on_exit.enter_context((folder / "exporter.log").open("wb"))
        on_exit.enter_context(process([exporter, *address], log))
        wait_for(f"http://127.0.0.1:{page}/metrics")
        prometheus = on_exit.enter_context(Prometheus(_targets(stack.ports, page), folder, every_s).running())
        start = time.time()
        asyncio.run(_load(stack, known))
        # What was counted last is scraped too.
        time.sleep(2 * every_s)
        events = tuple(Happened(event.at_s, event.words) for event in EVENTS)
        Recording(start, time.time(), every_s, events).pack(prometheus.snapshot(), packed)


async def _load(stack: Stack, known: Sequence[Known]) -> None:
    async with Callers(stack.ports, known).flowing():
        await all_of(stack, known)


def _targets(ports: Ports, exporter: int) -> Mapping[str, int]:
    return {
        "heroserve-encoder": ports.encoder_metrics,
        "heroserve-encoder-ray": ports.encoder_ray_metrics,
        "heroserve-llm": ports.llm_metrics,
        "heroserve-llm-ray": ports.llm_ray_metrics,
        "heroserve-redis": exporter,
    }
