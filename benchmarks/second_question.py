"""What an engine's prefix cache has of a second question about an image, and its time to the first token, by layout.

    .venv-vllm/bin/python -m benchmarks.second_question [--scenes N] [--retentions 0.4,0.2,0.1] [--block-size 32]

Both layouts run over one vLLM, under the service's own chat heart, with the bundled model's tower and relevance, which
choose what is kept; the encoder has the image already. The language model is an untrained one of 106 million
parameters, for which reading a prompt takes longer than handing it over. Two questions about an image are asked in a
cache scope of their own, and the second one in another scope, too: what it takes where nothing is cached. Layouts take
turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.in_process import InProcessEncoder
from models.untrained_language import with_untrained_language
from models.world.questions import ask
from models.world.render import as_png, render
from models.world.scene import TILE, sample_scene
from models.world.tiles import scene_grid
from services.common import context
from services.common.budget import Retention
from services.common.context import RequestContext
from services.common.settings import BUNDLED_MODEL
from services.llm import parts
from services.llm.answer import Bill
from services.llm.chat import ChatPipeline
from services.llm.engines.registry import check_engine, open_engine
from services.llm.engines.vllm import installed
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.settings import Layout, LlmSettings

KIND = "character"
ORDERS: tuple[Layout, ...] = ("raster", "base_first")


@dataclass(frozen=True)
class Row:
    """Of one image under one layout and retention: the second question's prompt, and seconds to its first token."""

    layout: str
    retention: float
    prompt: int
    cached: int
    cached_s: float
    anew_s: float


def images(wanted: int) -> list[tuple[bytes, list[str]]]:
    """Pictures of the validation split that have two questions of a kind, enlarged to as many tiles as there can be."""
    found: list[tuple[bytes, list[str]]] = []
    number = 0
    while len(found) < wanted:
        scene = sample_scene("validation", number)
        number += 1
        grid = scene_grid(scene)
        if grid.rows != grid.cols:
            continue
        asked = [ask(KIND, scene, grid, np.random.default_rng(seed)) for seed in range(8)]
        texts = list(dict.fromkeys(question.text for question in asked if question is not None))
        if len(texts) > 1:
            enlarged = Image.fromarray(render(scene)).resize((3 * TILE, 3 * TILE))
            found.append((as_png(np.asarray(enlarged)), texts[:2]))
    return found


async def answer(chat: ChatPipeline, image: bytes, question: str, retention: float, scope: str) -> Bill:
    turn = Turn("user", (ImagePart(data=image), question))
    job = ChatJob((turn,), budget=Retention(retention), sampling=Sampling(max_tokens=1, ignore_eos=True))
    with context.serving(RequestContext(id="a question", scope=scope)):
        *_, bill = [piece async for piece in chat.generate(job)]
    if not isinstance(bill, Bill):
        raise TypeError(bill)
    return bill


async def measure(folder: str, options: argparse.Namespace) -> list[Row]:
    chats: dict[str, ChatPipeline] = {}
    settings = LlmSettings(
        model=folder,
        engine="vllm",
        dtype="bfloat16",
        export_dir=f"{folder}-exported",
        vllm_args=("--block-size", str(options.block_size)),
    )
    source = parts.model(settings)
    check_engine(settings, source)
    prompts, splicer = parts.open_prompts(settings, source), parts.open_splicer(settings, source)
    engine = open_engine(settings, source, prompts)
    for layout in ORDERS:
        encoder = InProcessEncoder(BUNDLED_MODEL, relevance_model="", with_base=layout == "base_first")
        laid = LlmSettings(model=folder, engine="vllm", layout=layout)
        chats[layout] = parts.open_chat(laid, encoder, prompts, splicer, engine, source)
    rows: list[Row] = []
    try:
        for number, (image, (first, second)) in enumerate(images(options.scenes)):
            for retention in options.retentions:
                # So that neither is always the one behind the other.
                for layout in ORDERS[:: 1 if number % 2 else -1]:
                    chat, scope = chats[layout], f"{layout} {retention} {number}"
                    await answer(chat, image, first, retention, scope)
                    told = await answer(chat, image, second, retention, scope)
                    anew = await answer(chat, image, second, retention, f"{scope} anew")
                    used = told.usage
                    prompt = used.prompt_text_tokens + used.prompt_visual_tokens + used.prompt_newline_tokens
                    seconds = told.timings.time_to_first_token, anew.timings.time_to_first_token
                    rows.append(Row(layout, retention, prompt, used.prompt_cached_tokens, *seconds))
    finally:
        engine.close()  # type: ignore[attr-defined]
    return rows


def table(rows: Sequence[Row]) -> str:
    """In Markdown: medians, with the quarters."""
    lines = [
        "| R | layout | prompt | of it cached | first token, ms | where nothing is cached, ms |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for retention in dict.fromkeys(row.retention for row in rows):
        for layout in ORDERS:
            those = [row for row in rows if (row.retention, row.layout) == (retention, layout)]
            share = sum(row.cached for row in those) / sum(row.prompt for row in those)
            times = (_quarters([row.cached_s for row in those]), _quarters([row.anew_s for row in those]))
            mean = statistics.mean(row.prompt for row in those)
            lines.append(f"| {retention:g} | `{layout}` | {mean:.0f} | {share:.0%} | {' | '.join(times)} |")
    return "\n".join(lines)


def _quarters(seconds: list[float]) -> str:
    low, middle, high = (1e3 * each for each in statistics.quantiles(seconds, n=4))
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument(
        "--retentions", type=lambda text: [float(part) for part in text.split(",")], default="0.4,0.2,0.1"
    )
    parser.add_argument("--block-size", type=int, default=32, help="of the KV cache, in tokens")
    parser.add_argument("--json", type=Path, help="to write all numbers to")
    options = parser.parse_args()
    installed.check_installed()
    installed.prepare(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "model")
        with_untrained_language(Path(BUNDLED_MODEL), folder)
        rows = asyncio.run(measure(str(folder), options))
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in rows], indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
