"""Answers a second of servers with OpenAI's API, in one run: a stock vLLM that is sent pictures, and ours.

    .venv-vllm/bin/python -m benchmarks.beside
    python -m benchmarks.beside http://localhost:8000/v1 http://localhost:8001/v1@1 http://localhost:8001/v1@0.2

Each is a base URL; behind ``@`` the share of visual tokens that ours is to keep. docs/vllm.md says how they are
started; without URLs they are started here, with the bundled model, and ours has its vLLM in it. The first is what the
others are compared with. Questions are about scenes of the test split: new ones in the
first round, others for each server, and the same again in the second. Servers take turns, so that what else the machine
does meets all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from benchmarks.ending import end_in_peace
from benchmarks.serving import Serving, started
from benchmarks.sides import Side, shown
from models.world.questions import ask
from models.world.scene import sample_scene
from models.world.tiles import scene_grid

KIND = "character"
RETENTIONS = (1.0, 0.2)
# A picture, a question about it, its answer.
Asked = tuple[dict[str, Any], str, str]


@dataclass
class Server:
    """Attributes: name: as it was given; rates: answers a second by concurrency and round; right: answers."""

    name: str
    rates: dict[tuple[int, str], float] = field(default_factory=dict)
    right: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self._side = Side(self.name)

    async def answer(self, picture: dict[str, Any], question: str, expected: str) -> None:
        told = await self._side.ask([picture, {"type": "text", "text": question}], 16)
        self.asked += 1
        self.right += told.text == expected

    async def rate(self, asked: list[Asked], concurrency: int) -> float:
        """Answers a second, with so many callers who each ask again when they have theirs."""
        left = iter(asked)

        async def caller() -> None:
            for each in left:
                await self.answer(*each)

        began = time.monotonic()
        await asyncio.gather(*(caller() for _ in range(concurrency)))
        return len(asked) / (time.monotonic() - began)


def questions(numbers: count[int], wanted: int) -> list[Asked]:
    """Pictures that no server has seen; questions about them; answers."""
    found: list[Asked] = []
    while len(found) < wanted:
        scene = sample_scene("test", next(numbers))
        question = ask(KIND, scene, scene_grid(scene), np.random.default_rng(0))
        if question is not None:
            found.append((shown(scene), question.text, question.answer))
    return found


async def compare(servers: list[Server], levels: list[int], each: int) -> None:
    numbers = count()
    for server in servers:
        # The first answer of a server takes what it does once.
        await server.rate(questions(numbers, 2), 1)
    for level in levels:
        # Of each its own: two of them may be one service, which keeps what it has encoded.
        asked = [questions(numbers, max(each, 2 * level)) for _ in servers]
        for round_ in ("new", "again"):
            for server, own in zip(servers, asked, strict=True):
                server.rates[level, round_] = await server.rate(own, level)
                told = f"{server.name}, {level} at once, {round_}: {server.rates[level, round_]:.1f} answers/s"
                print(told, file=sys.stderr, flush=True)


def table(servers: list[Server]) -> str:
    """In Markdown."""
    columns = list(servers[0].rates)
    head = ["answers a second", *(f"{level} at once, {round_}" for level, round_ in columns), "right"]
    lines = [head, ["---", *["---:"] * (len(columns) + 1)]]
    for server in servers:
        cells = [f"{server.rates[at]:.1f} ({server.rates[at] / servers[0].rates[at]:.1f}x)" for at in columns]
        lines.append([server.name, *cells, f"{server.right / server.asked:.0%}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("servers", nargs="*", metavar="URL[@RETENTION]")
    parser.add_argument("--levels", default="1,8,32", help="callers at once")
    parser.add_argument("--questions", type=int, default=24, help="at each of them, and two a caller at least")
    options = parser.parse_args()
    end_in_peace()
    levels = [int(level) for level in options.levels.split(",")]
    with nullcontext(options.servers) if options.servers else started(RETENTIONS, Serving()) as names:
        servers = [Server(name) for name in names]
        asyncio.run(compare(servers, levels, options.questions))
    print(table(servers))


if __name__ == "__main__":
    main()
