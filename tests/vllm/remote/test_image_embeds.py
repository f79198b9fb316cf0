"""Images as ``image_embeds``, of different lengths in a step: what kills a stock engine, and our plugin mends."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from scripts.stack import ROOT
from scripts.vllm_server import TORCHVISION, VllmServer, reads_pictures, vllm_server
from services.common.settings import BUNDLED_MODEL
from tests.support.remote_parts import BOTH, Asked

PLUGIN = ROOT / "deploy" / "vllm-plugin"
SCENE = (ROOT / "examples" / "scene.png").read_bytes()


def installed(folder: Path) -> Path:
    """As ``pip install`` would have it, without what builds it."""
    if sys.version_info < (3, 11):
        pytest.skip("no tomllib")
    import tomllib

    groups = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]["entry-points"]
    info = folder / "heroserve_vllm-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heroserve-vllm\nVersion: 0.1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in names.items()) for group, names in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    if not TORCHVISION.is_dir():
        pytest.skip("there is no torchvision, which vLLM's LLaVA needs")
    with vllm_server(
        BUNDLED_MODEL,
        tmp_path_factory.mktemp("logs"),
        *("--served-model-name", "llava", "--enable-mm-embeds", "--limit-mm-per-prompt", '{"image": 0}'),
        **reads_pictures(PLUGIN, installed(tmp_path_factory.mktemp("installed"))),
        VLLM_PLUGINS="heroserve",
    ) as server:
        yield server


def test_a_server_says_that_it_is_mended(mended: VllmServer):
    told = json.load(urllib.request.urlopen(f"{mended.url}/heroserve/image_embeds"))
    assert told == {"any_length": True}


async def test_eight_lengths_at_once_are_answered_as_here(here: Asked, mended: VllmServer):
    shares = [number / 10 for number in range(1, 9)]
    with here.prompts() as prompts:
        expected = [(await here(BOTH, SCENE, retention=share)).text for share in shares]
    assert len({len(prompt) for prompt in prompts}) == 8
    async with openai.AsyncOpenAI(base_url=f"{mended.url}/v1", api_key="none", max_retries=0) as client:
        told = await asyncio.gather(*(ask(client, prompt) for prompt in prompts))
    assert told == expected


async def ask(client: openai.AsyncOpenAI, prompt: Any) -> str | None:
    from services.llm.engines.remote.messages import packed

    part: Any = {"type": "image_embeds", "image_embeds": packed(prompt.images[0].embeddings)}
    completion = await client.chat.completions.create(
        model="llava",
        messages=[{"role": "user", "content": [part, {"type": "text", "text": BOTH}]}],
        temperature=0,
        max_tokens=32,
        extra_body={"add_special_tokens": True},
    )
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == len(prompt)
    return completion.choices[0].message.content
