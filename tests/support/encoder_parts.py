"""What the encoder's tests share: crafted files, edited checkpoints, a clock, random entries."""

from __future__ import annotations

import asyncio
import json
import struct
import time
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prometheus_client import REGISTRY
from safetensors.torch import load_file, save_file

from services.encoder.begun import unless_begun
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.single_flight import SingleFlight
from services.encoder.images.decode import ImageLimits
from services.encoder.images.decoders import Decoders
from services.encoder.pipeline import EncodePipeline, Flights, Mask, Tiles
from services.encoder.ranking.rank_images import rank_images
from services.encoder.ranking.ranked_image import RankedImage
from services.encoder.tower import VisionTower
from services.families.family import Tiler
from services.families.grid import Grid

Tensors = dict[str, torch.Tensor]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def counted(name: str, **labels: str) -> float:
    """A counter's value in this process."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(width: int, height: int, *, depth: int = 8, colour: int = 0, lines: bytes = b"") -> bytes:
    """A PNG whose header says what the caller likes; ``lines`` are its filtered scanlines."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def edit_json(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def edit_weights(folder: Path, edit: Callable[[Tensors], Tensors | None]) -> None:
    """Rewrite a folder's only safetensors file with what ``edit`` returns, or did in place."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    changed = edit(tensors)
    save_file(tensors if changed is None else changed, path, {"format": "pt"})


def shaken(tensors: Tensors, prefix: str, seed: int = 0) -> None:
    """Move every weight under ``prefix`` a little."""
    random = torch.Generator().manual_seed(seed)
    for name in sorted(tensors):
        if name.startswith(prefix):
            noise = torch.randn(tensors[name].shape, generator=random)
            tensors[name] += 0.1 * tensors[name].std(correction=0) * noise


def random_image(grid: Grid, *, width: int = 5, dtype: str = "float32", dim: int = 3, seed: int = 0) -> RankedImage:
    """A ranked image with random rows, in random order."""
    random = np.random.default_rng(seed)
    masks = grid.valid()
    valid = masks.sum(axis=1)
    size = width * (4 if dtype == "float32" else 2)
    tiles = len(masks) - 1
    return RankedImage(
        valid=valid.astype(np.int64),
        positions=np.concatenate([random.permutation(np.flatnonzero(mask)) for mask in masks]).astype(np.uint16),
        rows=random.integers(0, 256, (int(valid.sum()), size), dtype=np.uint8),
        dtype=dtype,
        feature_width=width,
        saliency_cos=random.random(tiles, dtype=np.float32),
        relevance=random.random((tiles, dim), dtype=np.float32),
    )


# 2 x 2 tiles of 4 x 4 patches; the picture leaves a row of them free at the top, and three at the bottom.
GRID = Grid(width=100, height=50, rows=2, cols=2, side=4, top=1, bottom=5, left=0, right=8)


@lru_cache
def decoders(max_pixels: int = 10**7) -> Decoders:
    """One process for all who ask for it; it starts with the first picture, and ends with the tests."""
    return Decoders(ImageLimits(10**7, max_pixels), workers=1, timeout_s=60, memory_bytes=1 << 30)


def flights() -> Flights:
    return SingleFlight(1000, 1 << 30)


def encode_pipeline(real: VisionTower, tiler: Tiler, **changes: Any) -> EncodePipeline:
    """A pipeline of what a real tower is, without relevance, with a cache of its own; ``changes`` are its arguments."""
    parts: dict[str, Any] = {
        "encoder_id": real.encoder_id,
        "model": "a model",
        "checkpoint": "digest:0-0",
        "tiler": tiler,
        "decoders": decoders(),
        "flights": flights(),
        "hero": real.hero,
        "cache_depth": 1.0,
        "embedder": None,
    }
    if "cache" not in changes:
        parts["cache"] = RankOnceCache(MemoryStore(1 << 26, 60), real.encoder_id)
    return EncodePipeline(**(parts | changes))


class InProcessTower:
    """The real tower as the pipeline calls it. It counts, and does what a test tells it to.

    Attributes:
        calls: passes begun.
        begun: released once a pass that begins.
        gate: when set, passes wait for it.
        failures: passes still to fail.
    """

    def __init__(self, tower: VisionTower) -> None:
        self.calls = 0
        self.begun = asyncio.Semaphore(0)
        self.gate: asyncio.Event | None = None
        self.failures = 0
        self._always = asyncio.Event()
        self._always.set()
        self._tower = tower

    async def __call__(self, tiles: Tiles, mask: Mask) -> tuple[RankedImage, dict[str, float]]:
        return await unless_begun(self._rank(tiles, mask), self._always)

    async def _rank(self, tiles: Tiles, mask: Mask) -> tuple[RankedImage, dict[str, float]]:
        self.calls += 1
        self.begun.release()
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the accelerator fell over")
        started = time.perf_counter()
        (image,) = rank_images(self._tower.run(tiles), [mask], self._tower.hero)
        return image, {"tower": time.perf_counter() - started, "rank": 0.0}
