"""InternVL on vLLM: in the service and beside it, its language model a Qwen2 with dynamic positions, or a Qwen3."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import openai
import pytest
import pytest_asyncio

from models.untrained_internvl import build
from scripts.vllm_server import vllm_server
from services.families.registry import language_half
from services.llm import parts
from services.llm.export.folder import export
from services.llm.job import ImagePart, Turn
from services.llm.settings import LlmSettings
from tests.support.llm_parts import InProcessEncoder
from tests.support.pictures import encoded, picture
from tests.support.remote_parts import KEY, Asked, asking
from tests.support.vllm_parts import Both, both, said
from tests.vllm.test_service import Stack

QUESTION = "What number is on the sign?"
# One that is its thumbnail alone, of two tiles, of six, as thin as a line.
PICTURES = [encoded(picture(*size)) for size in ((60, 60), (230, 110), (333, 224), (500, 9))]
# InternVL3-1B's, with heads of a size that vLLM has on a CPU, and InternVL3_5-8B's.
LIKE = {"1b": {"hidden_size": 128}, "8b": {}}


def made(like: str, folder: Path) -> Path:
    build(folder, 0, like, language=LIKE[like])
    return folder


class Engines(NamedTuple):
    """Two engines of one checkpoint, and the heart over the one that is exact."""

    both: Both
    asked: Asked


@pytest_asyncio.fixture(scope="module", params=LIKE)
async def engines(
    request: pytest.FixtureRequest, exports: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Engines]:
    folder = made(request.param, tmp_path_factory.mktemp("internvl"))
    found = both(folder, exports)
    async with asking(InProcessEncoder(str(folder)), model=str(folder)) as asked:
        yield Engines(found, asked)
    found.vllm.close()


async def test_it_says_what_transformers_says(engines: Engines):
    """With all tokens, with a few, of several images in several turns; all of it at once."""
    before = (Turn("user", (ImagePart(data=PICTURES[1]), QUESTION)), Turn("assistant", ("seven",)))
    with engines.asked.prompts() as prompts:
        for retention in (1.0, 0.4, 0.05):
            for image in PICTURES:
                await engines.asked(QUESTION, image, retention=retention, max_tokens=1)
        await engines.asked("Is it red?", *PICTURES[:2], before=before, retention=0.3, max_tokens=1)
    assert len(prompts) == 13
    assert len({len(prompt) for prompt in prompts}) > 6
    ours = await asyncio.gather(*(said(engines.both.vllm, prompt) for prompt in prompts))
    for prompt, (tokens, _) in zip(prompts, ours, strict=True):
        engines.both.check_same(prompt, tokens, (await said(engines.both.transformers, prompt))[0])
    # Not because no picture was read.
    assert len({tuple(tokens) for tokens, _ in ours}) > 1


async def test_a_stock_server_beside_says_it_too(tmp_path: Path):
    folder = made("8b", tmp_path / "model")
    source = parts.model(LlmSettings(model=str(folder)))
    export(language_half(source), source, tmp_path / "lm", "FOLDER")
    encoder = InProcessEncoder(str(folder))
    flags = ("--enable-prompt-embeds", "--api-key", KEY)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(vllm_server(str(tmp_path / "lm"), tmp_path, *flags))
        here = await stack.enter_async_context(asking(encoder, model=str(folder)))
        there = await stack.enter_async_context(asking(encoder, server.url, model=str(folder)))
        found = Both(there.engine, here.engine, 0, 0)
        with here.prompts() as prompts:
            for image in PICTURES:
                await here(QUESTION, image, retention=0.4, max_tokens=1)
            await here("Is it red?", *PICTURES[:2], retention=1.0, max_tokens=1)
        for prompt in prompts:
            tokens, _ = await said(there.engine, prompt)
            found.check_same(prompt, tokens, (await said(here.engine, prompt))[0])
        answer = await there(QUESTION, *PICTURES, retention=0.1, max_tokens=5, ignore_eos=True)
        assert (answer.bill.usage.completion_tokens, answer.bill.usage.prompt_newline_tokens) == (5, 0)


@pytest.fixture(scope="module")
def stack(exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = made("8b", tmp_path_factory.mktemp("internvl"))
    stack = Stack(exports, tmp_path_factory.mktemp("services"), str(folder))
    yield stack
    stack.close()


def test_both_doors_of_both_services(stack: Stack):
    image = PICTURES[2]
    with stack.client() as client:
        answer = client.ask(image, QUESTION, retention=0.4, max_tokens=6)
        assert (client.describe().engine, answer.usage.completion_tokens) == ("vllm", 6)
    url = "data:image/png;base64," + base64.b64encode(image).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{stack.ports['http']}/v1", api_key="none", max_retries=0) as api:
        told = api.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": content}],
            max_tokens=6,
            extra_body={"heroserve": {"retention": 0.4}},
        )
    assert told.choices[0].message.content == answer.text
    tokens = told.usage.heroserve["visual_tokens"]
    assert (tokens["kept"], tokens["dropped"]) == (answer.savings.kept, answer.savings.dropped)
    # Seven tiles of 16 tokens.
    assert answer.savings.total == 7 * 16
