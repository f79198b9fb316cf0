"""How many of each that is, what moves between them, and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scripts.capacity.costs import Sizes, Work
from scripts.capacity.traffic import Traffic

GIB = 1 << 30


@dataclass(frozen=True)
class Terms:
    """Args:
    busy: share of its time that a replica works, at most: what is above it waits in line.
    gpus_an_engine: HEROSERVE_TENSOR_PARALLEL.
    redis_bytes: that a Redis holds.
    redis_bits: that it sends and gets a second.
    redis_overhead: memory that Redis takes, over the bytes of what it keeps.
    gpu, core, redis_gib: dollars of an hour of each.
    """

    busy: float
    gpus_an_engine: int
    redis_bytes: float
    redis_bits: float
    redis_overhead: float
    gpu: float
    core: float
    redis_gib: float


@dataclass(frozen=True)
class Flows:
    """10^9 bits a second.

    Args:
        files: of new images, from callers to the LLM service, and as many again to the encoder; later requests say a
        digest.
        rows: from the encoder to the LLM service.
        redis: to Redis and from it.
        tower: tiles to the tower, and its rows back.
    """

    files: float
    rows: float
    redis: float
    tower: float


@dataclass(frozen=True)
class Fleet:
    """Args:
    towers, ingresses, engines, chats: replicas. There are as many ``Chat`` as engines; more only beside vLLMs of their
        own (HEROSERVE_ENGINE=vllm-remote).
    gpus: of towers and engines.
    cores: of ingresses, chats and Redis.
    redis_bytes: of memory, over all nodes.
    redis_nodes: that memory, network and processor ask for.
    flows: between them.
    bill: dollars an hour, by what they are for.
    """

    towers: int
    ingresses: int
    engines: int
    chats: int
    gpus: int
    cores: int
    redis_bytes: float
    redis_nodes: int
    flows: Flows
    bill: dict[str, float]

    @property
    def dollars(self) -> float:
        """An hour."""
        return sum(self.bill.values())

    def a_thousand(self, traffic: Traffic) -> float:
        """Dollars of 1,000 requests: those of an hour over 3.6 x requests a second."""
        return self.dollars / (3.6 * traffic.requests)


def flows(traffic: Traffic, sizes: Sizes, file_bytes: float, tile_bytes: float) -> Flows:
    """How often times how much. Of the tower's: pixels of every tile there, and all rows of the image back.

    Args:
        traffic: a second.
        sizes: of a request.
        file_bytes: of an image as it is sent.
        tile_bytes: of a tile's pixels.
    """
    gbit = 8 / 1e9
    return Flows(
        files=traffic.encodes * file_bytes * gbit,
        rows=traffic.requests * sizes.sent_bytes * gbit,
        redis=(traffic.requests * sizes.read_bytes + traffic.encodes * sizes.entry_bytes) * gbit,
        tower=traffic.encodes * (sizes.tiles * tile_bytes + sizes.image_bytes) * gbit,
    )


def fleet(traffic: Traffic, work: Work, sizes: Sizes, moved: Flows, terms: Terms) -> Fleet:
    """Replicas of each: requests a second x seconds of work / ``busy``, rounded up (the utilisation law).

    Redis: ``kept x entry x overhead`` bytes, and as many nodes as the greatest of memory / ``redis_bytes``, traffic /
    ``redis_bits`` and work / ``busy`` asks for, one thread each; none where nothing is kept. Dollars: GPUs, cores and
    GiB times the price of each.
    """

    def replicas(seconds: float) -> int:
        return max(1, math.ceil(traffic.requests * seconds / terms.busy - 1e-9))

    towers, ingresses, engines = replicas(work.tower), replicas(work.ingress), replicas(work.engine)
    chats = max(engines, replicas(work.chat))
    kept = traffic.kept * sizes.entry_bytes * terms.redis_overhead
    asked_for = (kept / terms.redis_bytes, moved.redis * 1e9 / terms.redis_bits, replicas(work.redis))
    nodes = math.ceil(max(asked_for)) if kept else 0
    gpus = towers + engines * terms.gpus_an_engine
    cores = ingresses + chats + nodes
    bill = {
        "engines": engines * terms.gpus_an_engine * terms.gpu,
        "towers": towers * terms.gpu,
        "cores": cores * terms.core,
        "Redis": kept / GIB * terms.redis_gib,
    }
    return Fleet(towers, ingresses, engines, chats, gpus, cores, kept, nodes, moved, bill)
