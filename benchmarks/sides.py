"""Servers with OpenAI's API that are compared, as who asks them sees them."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import openai
from PIL import Image

from models.world.render import as_png, render
from models.world.scene import Scene


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

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.close()


def shown(scene: Scene, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """A scene's picture, as a part of a message; enlarged to ``size``, width and height, where there is one."""
    pixels = render(scene)
    if size is not None:
        pixels = np.asarray(Image.fromarray(pixels).resize(size))
    url = f"data:image/png;base64,{base64.b64encode(as_png(pixels)).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}
