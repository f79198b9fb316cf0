"""What prompts and answers take of an engine, from its model's shape and what its GPUs reach."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.sizing.curve import Point
from scripts.sizing.model import Model


@dataclass(frozen=True)
class Gpu:
    """What it reaches, and not what its data sheet says.

    Args:
        tower_tflops: 10^12 operations a second, in the tower.
        tflops: the same, in prefill and in large batches.
        gb_s: 10^9 bytes a second that it reads, while tokens are generated.
    """

    tower_tflops: float
    tflops: float
    gb_s: float


def tile_s(model: Model, gpu: Gpu) -> float:
    """Seconds of a pass of the tower, a tile: its operations over what is reached.

    Operations of a tile of n positions (patches and CLS): ``2 P n`` for P weights, and ``4 n^2 d`` a layer for
    attention that sees all of them (twice of ``services/llm/cost.py``, whose prompts see only what stands before).
    """
    return model.tile_flops / (gpu.tower_tflops * 1e12)


def prompt_s(point: Point, gpu: Gpu) -> float:
    """Seconds of a prompt: the operations of ``services/llm/cost.py`` over what is reached."""
    return point.seconds(gpu.tflops)


def together(point: Point, free: float, most: int) -> int:
    """Requests that one engine generates for at once: as many as have room for their KV cache, and ``most`` at most.

    Args:
        point: of a request; its KV cache is that of prompt and answer.
        free: bytes for KV caches.
        most: HEROSERVE's engines' own bound.
    """
    return min(most, int(free // point.kv_bytes))


def step_s(model: Model, point: Point, answer: int, batch: int, gpu: Gpu) -> float:
    """Seconds in which each of ``batch`` requests gets a token: the longer one of reading and of reckoning.

    Read are the language model's weights once, and each request's KV cache, which is in the mean that of its prompt and
    of half its answer (the roofline of decoding); reckoned, ``2 P`` operations a request.
    """
    context = point.prompt + answer / 2
    read = model.language * model.value_bytes + batch * context * model.cost.kv_bytes
    reckoned = 2 * model.language * batch
    return max(read / (gpu.gb_s * 1e9), reckoned / (gpu.tflops * 1e12))
