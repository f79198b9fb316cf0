"""What is needed at each retention, and beside it what an engine without a cache of images would need."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scripts.capacity.costs import Costs, Sizes, Work, work
from scripts.capacity.engine import Gpu, prompt_s, step_s, tile_s, together
from scripts.capacity.fleet import GIB, Fleet, Terms, fleet, flows
from scripts.capacity.sizes import sizes_of
from scripts.capacity.traffic import Traffic
from scripts.sizing.asked import Asked, Refused
from scripts.sizing.card import Card
from scripts.sizing.curve import Point, point

_MS, _MB = 1e-3, 1e-6


@dataclass(frozen=True)
class Plan:
    """Args:
    name: of the row: its retention, and whether images are kept.
    point: of a request.
    traffic: a second.
    costs: of one of each.
    sizes: of a request.
    work: of each part, for a request.
    fleet: that it takes.
    batch: requests that an engine generates for at once.
    token_s: seconds from one token of an answer to the next, while all of them are busy: each step, and the prompts
        that are read between.
    """

    name: str
    point: Point
    traffic: Traffic
    costs: Costs
    sizes: Sizes
    work: Work
    fleet: Fleet
    batch: int
    token_s: float


def plans(asked: Asked, options: argparse.Namespace) -> Iterator[Plan]:
    """Of each retention, and first that of every token where each question has its image encoded again. Raises Refused.

    Where a context or a GPU has no room for every token it is that of the largest retention.
    """
    traffic = Traffic(options.images, options.questions, options.found, options.kept)
    nothing = replace(traffic, found=0.0, kept_s=0.0)
    whole = point(asked.model, asked.picture, 1.0, options.text, options.answer)
    free = _free(asked, min(asked.points, key=lambda each: each.kept), options)
    if whole.prompt + options.answer > asked.model.context_length or whole.kv_bytes > free:
        whole = max(asked.points, key=lambda each: each.kept)
    yield _plan(f"{whole.retention:g}, nothing kept", asked, whole, nothing, options)
    for each in asked.points:
        yield _plan(f"{each.retention:g}", asked, each, traffic, options)


def _plan(name: str, asked: Asked, request: Point, traffic: Traffic, options: argparse.Namespace) -> Plan:
    model, gpus = asked.model, options.tensor_parallel
    gpu = Gpu(options.tower_tflops, options.tflops * gpus, options.gb_s * gpus)
    batch = together(request, _free(asked, request, options), options.batch)
    step = step_s(model, request, options.answer, batch, gpu)
    read = request.prompt / options.prompt_tokens_s if options.prompt_tokens_s else prompt_s(request, gpu)
    said = options.answer / options.answer_tokens_s if options.answer_tokens_s else options.answer * step / batch
    costs = Costs(
        tile_s=1 / options.tower_tiles_s if options.tower_tiles_s else tile_s(model, gpu),
        ingress_s=options.ingress_ms * _MS,
        ingress_byte_s=options.ingress_mb_ms * _MS * _MB,
        picture_s=options.picture_ms * _MS,
        cut_s=options.cut_ms * _MS,
        chat_s=options.chat_ms * _MS,
        prompt_s=read,
        answer_s=said,
        redis_s=options.redis_ms * _MS,
        redis_byte_s=options.redis_mb_ms * _MS * _MB,
    )
    sizes = sizes_of(asked, request, options.rows, cached=traffic.kept_s > 0)
    done = work(costs, sizes, traffic.encodes / traffic.requests)
    terms = Terms(
        busy=options.busy,
        gpus_an_engine=gpus,
        redis_bytes=options.redis_gib * GIB,
        redis_bits=options.redis_gbit * 1e9,
        redis_overhead=options.redis_overhead,
        gpu=options.price,
        core=options.core_price,
        redis_gib=options.redis_price,
    )
    moved = flows(traffic, sizes, options.file_kib * 1024, model.tile_bytes)
    found = fleet(traffic, done, sizes, moved, terms)
    return Plan(name, request, traffic, costs, sizes, done, found, batch, batch * (read + said) / options.answer)


def _free(asked: Asked, request: Point, options: argparse.Namespace) -> float:
    """Bytes of an engine's GPUs that are left for KV caches. Raises Refused: there is no room for this request's."""
    memory: float = options.gpu_gib * options.tensor_parallel * GIB
    card = Card(asked.model, int(memory), options.tiles, asked.longest, options.at_once)
    gpus = f"{options.tensor_parallel} x " * (options.tensor_parallel > 1)
    told = f"--gpu-gib {options.gpu_gib:g}: {gpus}{options.gpu_gib:g} GiB,"
    engine = sum(card.llm.values()) + request.kv_bytes
    if engine > memory:
        raise Refused(
            f"{told} and a language model takes {engine / GIB:.2f} with one request's KV cache; give it more GPUs "
            "(--tensor-parallel), or larger ones"
        )
    tower = sum(card.encoder.values())
    if tower > options.gpu_gib * GIB:
        raise Refused(
            f"--gpu-gib {options.gpu_gib:g}: {options.gpu_gib:g} GiB, of which a tower takes {tower / GIB:.2f}; "
            "lower --tiles"
        )
    return memory - sum(card.llm.values())
