"""Requests a second of users whose pictures come again, in one run: a stock vLLM that is sent them, and ours.

    .venv-vllm/bin/python -m benchmarks.turns [--users 30] [--turns 8] [--window 5] [--json FILE] [URL[@RETENTION] ...]
    .venv-vllm/bin/python -m benchmarks.turns --shape 135m --tiles 2x1 --users 2 --turns 4 --window 2 --rounds 1

All users ask at once, each its next question when it has its answer. A question shows the user's last pictures, as many
as the window has, one of them new: the others the server has seen with the question before. Without URLs a stock vLLM
and ours are started, with the bundled model or one of a real shape and random weights, in bfloat16 on all cores. Sides
take turns, so that what else the machine does meets all of them; pictures are new in each round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.ending import end_in_peace
from benchmarks.serving import Serving, started
from benchmarks.sides import Side, Told, shown
from models.untrained_shapes import SHAPES
from models.world.scene import TILE, sample_scene

QUESTION = "what characters are on the black cross and the green square?"
ANSWER = 32
RETENTIONS = (1.0, 0.2)


async def user(side: Side, pictures: Sequence[dict[str, Any]], turns: int, window: int) -> list[Told]:
    """Its answers, one after the other."""
    told = []
    for turn in range(turns):
        content = [*pictures[turn : turn + window], {"type": "text", "text": f"question {turn}: {QUESTION}"}]
        told.append(await side.ask(content, ANSWER, ignore_eos=True))
    return told


async def run(side: Side, numbers: count[int], options: argparse.Namespace) -> dict[str, Any]:
    """All users; what came of it."""
    each = options.turns + options.window - 1
    pictures = [
        [shown(sample_scene("test", next(numbers)), options.size) for _ in range(each)] for _ in range(options.users)
    ]
    began = time.monotonic()
    told = await asyncio.gather(*(user(side, own, options.turns, options.window) for own in pictures))
    seconds = time.monotonic() - began
    firsts = [[answers[turn].first_s for answers in told] for turn in range(options.turns)]
    flat = [answer for answers in told for answer in answers]
    return {
        "requests_per_s": len(flat) / seconds,
        "first_s_by_turn": firsts,
        "first_s": statistics.median(answer.first_s for answer in flat),
        "first_s_p90": statistics.quantiles((answer.first_s for answer in flat), n=10)[-1],
        "prompt_tokens": statistics.mean(answer.prompt for answer in flat),
        "cached_share": sum(answer.cached for answer in flat) / sum(answer.prompt for answer in flat),
    }


async def compare(names: Sequence[str], options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    sides = [Side(name) for name in names]
    numbers = count()
    for side in sides:
        # The first answer of a server takes what it does once.
        await side.ask([shown(sample_scene("train", 0), options.size), {"type": "text", "text": QUESTION}], 2)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for side in sides:
            told = await run(side, numbers, options)
            found[side.name].append(told)
            print(f"{side.name}: {told['requests_per_s']:.2f} requests/s", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """In Markdown: medians over rounds, with the lowest and the highest."""
    lines = [
        "| | requests/s | first token, s: median | 90% | tokens a prompt | of them cached |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, rounds in found.items():
        cells = [_cell([one[key] for one in rounds]) for key in ("requests_per_s", "first_s", "first_s_p90")]
        cells.append(f"{statistics.mean(one['prompt_tokens'] for one in rounds):.0f}")
        cells.append(_cell([one["cached_share"] for one in rounds], ".0%"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table_of_turns(found: dict[str, list[dict[str, Any]]]) -> str:
    """In Markdown: seconds to the first token by turn: medians over users and rounds, the lowest and the highest."""
    turns = len(next(iter(found.values()))[0]["first_s_by_turn"])
    head = ["first token, s, of turn", *map(str, range(1, turns + 1))]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * turns}"]
    for name, rounds in found.items():
        cells = [_cell([s for one in rounds for s in one["first_s_by_turn"][turn]]) for turn in range(turns)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[float], form: str = ".2f") -> str:
    """The median, with the lowest and the highest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def size_of(tiles: str, shape: str | None) -> tuple[int, int] | None:
    """A picture's width and height, so that it is so many columns x rows of tiles; None as it is drawn."""
    if not tiles:
        return None
    tile = SHAPES[shape].tower.image_size if shape else TILE
    columns, rows = map(int, tiles.split("x"))
    return columns * tile, rows * tile


def serving_of(options: argparse.Namespace) -> Serving:
    usual = {"images": options.window, "block": options.block_size}
    if options.shape is None:
        return Serving(**usual)
    return Serving.of_shape(options.shape, options.folder, kv_bytes=options.kv_mib << 20, **usual)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sides", nargs="*", metavar="URL[@RETENTION]")
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--window", type=int, default=5, help="pictures of a question")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--block-size", type=int, default=32, help="of the KV caches of what is started, in tokens")
    parser.add_argument("--retentions", type=float, nargs="+", default=RETENTIONS, help="of ours")
    parser.add_argument("--shape", choices=SHAPES, help="of models of random weights, in place of the bundled one")
    parser.add_argument("--tiles", default="", help="columns x rows of a picture, such as 2x1")
    parser.add_argument("--kv-mib", type=int, default=1024, help="with --shape: KV cache of each vLLM, in MiB")
    parser.add_argument("--folder", type=Path, default=Path("build/answers"), help="of such checkpoints")
    parser.add_argument("--json", type=Path, help="to write all numbers to")
    options = parser.parse_args()
    end_in_peace()
    options.size = size_of(options.tiles, options.shape)
    opened = nullcontext(options.sides) if options.sides else started(options.retentions, serving_of(options))
    with opened as names:
        found = asyncio.run(compare(names, options))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{table(found)}\n\n{table_of_turns(found)}")


if __name__ == "__main__":
    main()
