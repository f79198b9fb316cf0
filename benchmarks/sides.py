"""Servers with OpenAI's API that are compared: a stock vLLM that is sent pictures, and ours, which has a vLLM in it."""

from __future__ import annotations

import base64
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from models.world.render import as_png, render
from models.world.scene import Scene
from scripts.stack import Ports, running
from scripts.vllm_server import reads_pictures, vllm_server
from services.common.settings import BUNDLED_MODEL


@dataclass(frozen=True)
class Told:
    """An answer: seconds to its first text and to its end, its text, tokens of its prompt, those of them cached."""

    first_s: float
    whole_s: float
    text: str
    prompt: int
    cached: int


class Side:
    """Args: name: a base URL; behind ``@`` the share of visual tokens that ours is to keep."""

    def __init__(self, name: str) -> None:
        self.name = name
        url, _, retention = name.partition("@")
        self._client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600)
        # A stock server's template leaves begin-of-text to the tokenizer, and ours has no such field.
        self._body: dict[str, Any] = (
            {"heroserve": {"retention": float(retention)}} if retention else {"add_special_tokens": True}
        )
        self._model = ""

    async def ask(self, content: list[Any], max_tokens: int, **body: Any) -> Told:
        """What it says to a user's message, greedily."""
        if not self._model:
            self._model = (await self._client.models.list()).data[0].id
        began, first, text, usage = time.monotonic(), 0.0, "", None
        stream = await self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "user", "content": content}],
            temperature=0,
            max_tokens=max_tokens,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={**self._body, **body},
        )
        async for chunk in stream:
            said = chunk.choices[0].delta.content if chunk.choices else None
            if said:
                first = first or time.monotonic() - began
                text += said
            usage = chunk.usage or usage
        whole = time.monotonic() - began
        details = usage and usage.prompt_tokens_details
        cached = (details and details.cached_tokens) or 0
        return Told(first or whole, whole, text, usage.prompt_tokens if usage else 0, cached)


def shown(scene: Scene) -> dict[str, Any]:
    """A scene's picture, as a part of a message."""
    url = f"data:image/png;base64,{base64.b64encode(as_png(render(scene))).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


@contextmanager
def started(retentions: Sequence[float], images: int, block: int) -> Iterator[list[str]]:
    """Names of sides, all of them with the bundled model, on this machine: a stock vLLM, and ours at each retention.

    Each model computes with one thread, in float32.

    Args:
        retentions: of ours.
        images: in a request, at most.
        block: tokens of a block of both KV caches.
    """
    os.environ["HEROSERVE_ENGINE"] = "vllm"
    os.environ["HEROSERVE_VLLM_ARGS"] = f"--block-size {block}"
    os.environ["HEROSERVE_DTYPE"] = "float32"
    os.environ["HEROSERVE_MAX_IMAGES"] = str(images)
    flags = (
        *("--served-model-name", "stock", "--block-size", str(block), "--enable-prompt-tokens-details"),
        *("--limit-mm-per-prompt", f'{{"image": {images}}}'),
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        vllm_server(BUNDLED_MODEL, Path(folder), *flags, **reads_pictures()) as stock,
        running(ports := Ports.free()),
    ):
        ours = f"http://localhost:{ports.llm_http}/v1"
        yield [f"{stock.url}/v1", *(f"{ours}@{retention:g}" for retention in retentions)]
