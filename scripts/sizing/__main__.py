"""``python -m scripts.sizing MODEL``: what a checkpoint takes of one GPU, and what a budget saves of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from scripts.sizing.asked import Asked, Refused
from scripts.sizing.card import GIB, Card
from scripts.sizing.curve import Point
from scripts.sizing.options import parser

_MIB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    try:
        asked = Asked.of(options)
    except Refused as error:
        sys.exit(f"sizing: {error}")
    model, picture = asked.model, asked.picture
    width, height = options.image
    card = Card(model, int(options.gpu_gib * GIB), options.tiles, asked.longest, options.at_once)
    told = f"{len(picture.valid)} tiles, {sum(picture.valid)} visual tokens"
    _print(f"{options.model}, {options.dtype}; a picture of {width} x {height} pixels is {told}", "")
    _print(*_memory(card, options.gpu_gib))
    if card.left < 0:
        sys.exit(
            f"sizing: --gpu-gib {options.gpu_gib:g}: {-card.left / GIB:.2f} GiB too few for both services; lower "
            "--tiles or --at-once, or give each a GPU"
        )
    _print("", *_curve(asked.points, card, options.tflops, options.price))


def _print(*lines: str) -> None:
    print(*lines, sep="\n")


def _memory(card: Card, gib: float) -> Iterator[str]:
    yield f"{f'of a GPU of {gib:g} GiB':<64}{'GiB':>6}"
    for service, parts in (("encoder", card.encoder), ("LLM service", card.llm)):
        for part, size in parts.items():
            yield f"  {service:<13}{part:<49}{size / GIB:>6.2f}"
    yield f"  {'left for KV caches':<62}{card.left / GIB:>6.2f}"
    encoder, llm = card.shares
    if card.left >= 0:
        yield f"  HEROSERVE_REPLICA_GPUS: encoder {encoder:g}, LLM service {llm:g}"
        yield f"  HEROSERVE_VLLM_ARGS: --gpu-memory-utilization {llm:g}"


def _curve(points: list[Point], card: Card, tflops: float, price: float) -> Iterator[str]:
    columns = (
        "R",
        "visual",
        "prompt",
        "prefill",
        f"at {tflops:g}",
        f"at {price:g} $/h",
        "KV cache",
        "such",
        "a hit reads",
    )
    units = ("", "tokens", "tokens", "TFLOP", "TFLOP/s, ms", "$ a 1,000", "MiB", "that fit", "MiB")
    for words in (columns, units):
        yield "".join(f"{word:>12}" for word in words).rstrip()
    for each in points:
        cells = (
            f"{each.retention:g}",
            f"{each.kept}",
            f"{each.prompt}",
            f"{each.flops / 1e12:.3g}",
            f"{1e3 * each.seconds(tflops):.3g}",
            f"{each.dollars(tflops, price):.3g}",
            f"{each.kv_bytes / _MIB:.3g}",
            f"{card.left // each.kv_bytes}",
            f"{each.row_bytes / _MIB:.3g}",
        )
        yield "".join(f"{cell:>12}" for cell in cells)


if __name__ == "__main__":
    main()
