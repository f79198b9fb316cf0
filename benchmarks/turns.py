"""Requests a second of users whose pictures come again, in one run: a stock vLLM that is sent them, and ours.

    .venv-vllm/bin/python -m benchmarks.turns [--users 30] [--turns 8] [--window 5] [--json FILE] [URL[@RETENTION] ...]

All users ask at once, each its next question when it has its answer. A question shows the user's last pictures, as many
as the window has, one of them new: the others the server has seen with the question before. Without URLs a stock vLLM
and ours are started, with the bundled model. Sides take turns, so that what else the machine does meets all of them;
pictures are new in each round.
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
from benchmarks.sides import Side, Told, shown, started
from models.world.scene import sample_scene

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
    pictures = [[shown(sample_scene("test", next(numbers))) for _ in range(each)] for _ in range(options.users)]
    began = time.monotonic()
    told = await asyncio.gather(*(user(side, own, options.turns, options.window) for own in pictures))
    seconds = time.monotonic() - began
    firsts = [[answers[turn].first_s for answers in told] for turn in range(options.turns)]
    flat = [answer for answers in told for answer in answers]
    return {
        "requests_per_s": len(flat) / seconds,
        "first_s_by_turn": [statistics.median(turn) for turn in firsts],
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
        await side.ask([shown(sample_scene("train", 0)), {"type": "text", "text": QUESTION}], 2)
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
        "| | requests/s | first token, s: median | 90% | first turn | last turn | tokens a prompt | of them cached |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, rounds in found.items():

        def cell(key: str, form: str = ".2f", rounds: list[dict[str, Any]] = rounds) -> str:
            values = sorted(one[key] for one in rounds)
            return f"{statistics.median(values):{form}} ({values[0]:{form}} to {values[-1]:{form}})"

        turns = [statistics.median(each) for each in zip(*(one["first_s_by_turn"] for one in rounds), strict=True)]
        cells = [cell("requests_per_s"), cell("first_s"), cell("first_s_p90"), f"{turns[0]:.2f}", f"{turns[-1]:.2f}"]
        cells += [f"{statistics.mean(one['prompt_tokens'] for one in rounds):.0f}", cell("cached_share", ".0%")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sides", nargs="*", metavar="URL[@RETENTION]")
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--window", type=int, default=5, help="pictures of a question")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--block-size", type=int, default=32, help="of the KV caches of what is started, in tokens")
    parser.add_argument("--json", type=Path, help="to write all numbers to")
    options = parser.parse_args()
    end_in_peace()
    opened = nullcontext(options.sides) if options.sides else started(RETENTIONS, options.window, options.block_size)
    with opened as names:
        found = asyncio.run(compare(names, options))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
