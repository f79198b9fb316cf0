"""Answers a second by concurrency, of the embedded engine and of vLLM, in one run.

    .venv-vllm/bin/python -m benchmarks.engines [--rounds N] [--retention R] [--cpus N] [--larger] [--dtype bfloat16]

Both run the bundled model, or with ``--larger`` one with an untrained language model of 106 million parameters, under
the service's own chat heart, with the service's defaults. The encoder is not measured: each request finds the visual
tokens of an image ready, and no two requests the same, so that neither engine has read a prompt before. Rounds take
turns, so that what else the machine does meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.instant import Instant
from models.untrained_language import with_untrained_language
from services.common.budget import Budget
from services.common.settings import BUNDLED_MODEL
from services.families.grid import Grid
from services.llm import parts
from services.llm.answer import Bill
from services.llm.chat import ChatPipeline
from services.llm.encoded import EncodedImage, PlannedImage
from services.llm.engines.engine import Engine
from services.llm.engines.registry import check_engine, open_engine
from services.llm.engines.vllm import installed
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.refusal import Role
from services.llm.settings import EngineName, LlmSettings

# Concurrency, and requests of a round.
LEVELS = {1: 8, 8: 32, 32: 64, 128: 128}
ANSWER = 32
QUESTION = "How many red circles are there?"
GRID = Grid(width=336, height=336, rows=3, cols=3, side=8, top=0, bottom=24, left=0, right=24)


class Ready:
    """Visual tokens of images that nobody had: as many as are kept of each tile, of random rows."""

    def __init__(self, width: int, retention: float) -> None:
        self._width = width
        self._kept = [np.arange(round(GRID.tile_tokens * retention)) for _ in range(1 + GRID.rows * GRID.cols)]

    async def fetch(
        self, place: Role, image: ImagePart, question: str, budget: Budget | None, *, explain: bool = False
    ) -> EncodedImage:
        rows = torch.randn(sum(map(len, self._kept)), self._width)
        return EncodedImage(GRID, self._kept, rows, total=GRID.tile_tokens * len(self._kept), cache="hit")

    async def plan(
        self, place: Role, image: ImagePart, question: str, budget: Budget | None, *, explain: bool = False
    ) -> PlannedImage:
        raise NotImplementedError("one image has nothing to share")


def open_chat(
    name: EngineName, cpus: int, retention: float, *, instant: bool = False, **others: Any
) -> tuple[ChatPipeline, Engine]:
    """The heart over an engine, as the service has it."""
    settings = LlmSettings(engine=name, replica_cpus=cpus, **{"model": BUNDLED_MODEL, **others})
    source = parts.model(settings)
    check_engine(settings, source)
    prompts = parts.open_prompts(settings, source)
    engine = Instant() if instant else open_engine(settings, source, prompts)
    splicer = parts.open_splicer(settings, source)
    encoder = Ready(splicer.feature_width, retention)
    return parts.open_chat(settings, encoder, prompts, splicer, engine, source), engine


async def answer(chat: ChatPipeline) -> Bill:
    turn = Turn("user", (ImagePart(data=b"an image"), QUESTION))
    job = ChatJob((turn,), sampling=Sampling(max_tokens=ANSWER, ignore_eos=True))
    *_, bill = [piece async for piece in chat.generate(job)]
    if not isinstance(bill, Bill) or bill.usage.completion_tokens != ANSWER:
        raise RuntimeError(f"an answer ended early: {bill}")
    return bill


async def rate(chat: ChatPipeline, concurrency: int, requests: int) -> float:
    """Answers a second, with so many callers who each ask again when they have theirs."""
    left = iter(range(requests))

    async def caller() -> None:
        for _ in left:
            await answer(chat)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return requests / (time.perf_counter() - start)


def shown(rates: list[float]) -> str:
    return f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})"


async def run(options: argparse.Namespace, **settings: Any) -> None:
    chats: dict[str, ChatPipeline] = {}
    engines: dict[str, Any] = {}
    names: tuple[EngineName, ...] = ("transformers", "vllm")
    for name in names:
        chats[name], engines[name] = open_chat(name, options.cpus, options.retention, dtype=options.dtype, **settings)
    heart, _ = open_chat("transformers", options.cpus, options.retention, instant=True)
    for chat in (heart, *chats.values()):
        bill = await answer(chat)
    usage = bill.usage
    prompt = usage.prompt_text_tokens + usage.prompt_visual_tokens + usage.prompt_newline_tokens
    print(f"prompts of {prompt} tokens, {usage.prompt_visual_tokens} of them visual; answers of {ANSWER}")
    alone = [await rate(heart, 32, 128) for _ in range(options.rounds)]
    print(f"over an engine that takes no time, 32 callers: {shown(alone)} answers/s")
    print("| callers | requests a round | transformers, answers/s | vLLM, answers/s | ratio of medians |")
    print("| --- | --- | --- | --- | --- |")
    for concurrency in options.levels:
        requests = LEVELS[concurrency]
        rates: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                rates[name].append(await rate(chats[name], concurrency, requests))
        ratio = statistics.median(rates["vllm"]) / statistics.median(rates["transformers"])
        cells = (shown(rates[name]) for name in names)
        print(f"| {concurrency} | {requests} | {' | '.join(cells)} | {ratio:.1f} |", flush=True)
    engines["vllm"].close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--retention", type=float, default=0.2, help="share of the image's 640 visual tokens")
    parser.add_argument("--larger", action="store_true", help="a language model of 106 million parameters, untrained")
    parser.add_argument(
        "--dtype", choices=["auto", "float32", "bfloat16"], default="auto", help="as HEROSERVE_DTYPE has it"
    )
    levels = ",".join(map(str, LEVELS))
    parser.add_argument("--levels", type=lambda text: [int(each) for each in text.split(",")], default=levels)
    parser.add_argument("--cpus", type=int, default=1, help="what HEROSERVE_REPLICA_CPUS would be")
    options = parser.parse_args()
    installed.check_installed()
    installed.prepare(options.cpus)
    torch.set_num_threads(options.cpus)
    with tempfile.TemporaryDirectory() as parent:
        settings: dict[str, Any] = {}
        if options.larger:
            model = Path(parent, "model")
            with_untrained_language(Path(BUNDLED_MODEL), model)
            settings = {"model": str(model), "export_dir": str(Path(parent, "exports"))}
        asyncio.run(run(options, **settings))


if __name__ == "__main__":
    main()
