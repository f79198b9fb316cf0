"""What a pass of a real-sized tower takes on this CPU: in float32 and bfloat16, on one thread and on more.

    python -m benchmarks.tower [--tiles 5] [--threads 1,2] [--rounds 3]

CLIP-L/14-336's shape with a ViT-B/32 for relevance, of random weights, as the encoder runs them: bytes of tiles in,
features, CLS rows and embeddings out. All combinations take turns. Beside them a bare matrix product of the tower's
own sizes: the floor under any of its passes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from models.untrained import build, build_clip
from models.untrained_shapes import CLIP_B, CLIP_L
from scripts.sizing.model import pass_flops, positions_of
from services.encoder import parts
from services.encoder.settings import EncoderSettings

DTYPES: dict[Any, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Patches of a tile, and CLS.
TOKENS = positions_of(CLIP_L)


@dataclass(frozen=True)
class Work:
    """Attributes: run: what is timed; operations: multiplications and additions of its matrices."""

    run: Callable[[], Any]
    operations: float


def passes(folder: Path, tiles: int) -> dict[str, Work]:
    """One pass, by dtype; the relevance model's share, a hundredth, is not among its operations."""
    width, layers = CLIP_L.hidden_size, CLIP_L.num_hidden_layers
    weights = layers * width * (4 * width + 2 * CLIP_L.intermediate_size)
    operations = tiles * pass_flops(weights, TOKENS, width, layers)
    build(folder / "model", 0, CLIP_L, clip=False)
    build_clip(folder / "clip", CLIP_B)
    shown = np.random.default_rng(0).integers(0, 256, (tiles, 3, CLIP_L.image_size, CLIP_L.image_size), dtype=np.uint8)
    found = {}
    for dtype in DTYPES:
        settings = EncoderSettings(model=str(folder / "model"), relevance_model=str(folder / "clip"), dtype=dtype)
        found[dtype] = Work(partial(parts.open_tower(settings).run, shown), operations)
    return found


def products(tiles: int) -> dict[str, Work]:
    """A block's first linear layer behind attention, by dtype."""
    rows, width, inside = tiles * TOKENS, CLIP_L.hidden_size, CLIP_L.intermediate_size
    found = {}
    for dtype in DTYPES:
        left, right = (torch.randn(*size, dtype=DTYPES[dtype]) for size in ((rows, width), (inside, width)))
        found[dtype] = Work(partial(torch.nn.functional.linear, left, right), 2.0 * rows * width * inside)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiles", type=int, default=5, help="of a pass (%(default)s)")
    parser.add_argument("--threads", default="1,2", help="several after commas (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="after one that does not count (%(default)s)")
    options = parser.parse_args()
    threads = [int(each) for each in options.threads.split(",")]
    seconds: dict[tuple[str, str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        kinds = {"pass": passes(Path(folder), options.tiles), "product": products(options.tiles)}
        for turn in range(options.rounds + 1):
            for count in threads:
                torch.set_num_threads(count)
                for kind, by_dtype in kinds.items():
                    for dtype, work in by_dtype.items():
                        began = time.perf_counter()
                        work.run()
                        if turn:
                            seconds.setdefault((kind, dtype, count), []).append(time.perf_counter() - began)
    print(f"{options.tiles} tiles, {machine(max(threads))}")
    print("| | dtype | threads | s: median | lowest to highest | TFLOP/s |\n| --- | --- | ---: | ---: | --- | ---: |")
    for (kind, dtype, count), each in seconds.items():
        middle, spread = statistics.median(each), f"{min(each):.3g} to {max(each):.3g}"
        rate = kinds[kind][dtype].operations / middle / 1e12
        print(f"| {kind} | {dtype} | {count} | {middle:.3g} | {spread} | {rate:.2f} |")


if __name__ == "__main__":
    main()
