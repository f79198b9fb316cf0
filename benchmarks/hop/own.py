"""Processor time of what a hit is made of besides Ray Serve: read from Redis, prove, put in order, make a message of.

    python -m benchmarks.hop.own [--requests N]

Rows are random, in the shape that CLIP-L/14-336 makes of ten tiles in float32. It is time of the processor, and not of
the clock: a busy machine says about the same. Services are started with ``MALLOC_MMAP_THRESHOLD_=33554432
MALLOC_TRIM_THRESHOLD_=67108864``, which this is not: set them, too, to see what they do.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from heroserve.v1.encoder_pb2 import VisualTokens
from scripts.redis_server import RedisServer, free_port
from services.common.grpc_call import Sent
from services.encoder.cache.entry import build_entry
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.redis import RedisStore
from services.encoder.plan import TokenPlan
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.response import visual_tokens
from services.families.grid import Grid, Placement

GRID = Grid(width=1008, height=1008, rows=3, cols=3, side=24, top=0, bottom=72, left=0, right=72)
PLACEMENT = Placement(tile_size=336, token_size=14, top=0, bottom=1008, left=0, right=1008)
WIDTH, TILES = 1024, 10


def image() -> RankedImage:
    random = np.random.default_rng(0)
    tokens = GRID.tile_tokens
    return RankedImage(
        valid=np.full(TILES, tokens, np.int64),
        positions=np.concatenate([random.permutation(tokens) for _ in range(TILES)]).astype(np.uint16),
        rows=random.integers(0, 256, (TILES * tokens, 4 * WIDTH), dtype=np.uint8),
        dtype="float32",
        feature_width=WIDTH,
        saliency_cos=np.zeros(TILES - 1, np.float32),
        relevance=np.zeros((TILES - 1, 512), np.float32),
    )


async def hit(cache: RankOnceCache, plan: TokenPlan) -> int:
    """Bytes of the answer."""
    entry = cache.known("a") or await cache.entry("a")
    rows = await cache.rows("a", entry, plan.counts) if entry else None
    if entry is None or rows is None:
        raise RuntimeError("the entry is not in Redis")
    told = (entry, plan, rows, VisualTokens.HIT)
    message = await asyncio.to_thread(visual_tokens, "a", "e", *told, placement=PLACEMENT, explain=False)
    return len(Sent(message).SerializeToString())


async def measure(url: str, requests: int) -> None:
    cache = RankOnceCache(RedisStore(url, 3600, 60.0), "id")
    await cache.write("a", *build_entry(GRID, image(), 1.0))
    terms = torch.zeros(TILES - 1)
    print("| R | MB | CPU ms, median | lowest |\n| --- | --- | --- | --- |")
    for retention in (0.2, 1.0):
        plan = TokenPlan([round(retention * GRID.tile_tokens)] * TILES, terms, terms, terms, terms)
        spent = []
        for _ in range(requests):
            began = time.process_time()
            size = await hit(cache, plan)
            spent.append((time.process_time() - began) * 1e3)
        print(f"| {retention:g} | {size / 1e6:.1f} | {statistics.median(spent):.1f} | {min(spent):.1f} |", flush=True)
    await cache.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=40)
    with tempfile.TemporaryDirectory(prefix="heroserve-") as folder:
        redis = RedisServer(free_port(), Path(folder))
        redis.start()
        try:
            asyncio.run(measure(redis.url, parser.parse_args().requests))
        finally:
            redis.stop()


if __name__ == "__main__":
    main()
