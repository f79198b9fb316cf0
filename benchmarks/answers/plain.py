"""``LlavaNextForConditionalGeneration.generate``, asked over as much of OpenAI's API as benchmarks ask by.

    python -m benchmarks.answers.plain FOLDER PORT [--dtype bfloat16] [--threads 2]

One request at a time, each from its picture's file on: what a script does that has a model and no service.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from aiohttp import web
from PIL import Image
from transformers import AutoTokenizer, LlavaNextForConditionalGeneration
from transformers.generation.streamers import BaseStreamer

from models.processor import open_processor

_MOST = 64 << 20


class _Each(BaseStreamer):  # type: ignore[misc]
    """Hands over each token as it comes; what comes first is the prompt."""

    def __init__(self, take: Callable[[int], None]) -> None:
        self._take, self._begun = take, False

    def put(self, value: torch.Tensor) -> None:
        if self._begun:
            self._take(int(value))
        self._begun = True

    def end(self) -> None:
        """Whoever asked for the answer knows."""


class Plain:
    """A checkpoint as transformers has it, and its tokenizer."""

    def __init__(self, folder: str, dtype: str) -> None:
        model: Any = LlavaNextForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, dtype))
        self._model = model.eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._processor = open_processor(folder, self.tokenizer, model.config.vision_config.patch_size)

    @torch.inference_mode()
    def answer(self, content: list[dict[str, Any]], most: int, take: Callable[[int], None]) -> int:
        """Tokens of the prompt; ``take`` is given those of the answer, ``most`` of them, as they come."""
        pictures = [part["image_url"]["url"].partition(",")[2] for part in content if part["type"] == "image_url"]
        images = [Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB") for each in pictures]
        parts = [{"type": "image"} if part["type"] == "image_url" else part for part in content]
        text = self._processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
        inputs = self._processor(images=images, text=text, return_tensors="pt")
        length = {"min_new_tokens": most, "max_new_tokens": most}
        self._model.generate(**inputs, **length, do_sample=False, streamer=_Each(take))
        return int(inputs["input_ids"].shape[1])


def application(plain: Plain) -> web.Application:
    one_at_a_time = ThreadPoolExecutor(1)

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "plain", "object": "model"}]})

    async def complete(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        loop, tokens = asyncio.get_running_loop(), asyncio.Queue[int | None]()

        def work() -> int:
            def take(token: int | None) -> None:
                loop.call_soon_threadsafe(tokens.put_nowait, token)

            try:
                return plain.answer(asked["messages"][-1]["content"], asked["max_tokens"], take)
            finally:
                take(None)

        async def say(**chunk: Any) -> None:
            told = {"id": "plain", "object": "chat.completion.chunk", "created": 0, "model": "plain", **chunk}
            await response.write(f"data: {json.dumps(told)}\n\n".encode())

        running, count = loop.run_in_executor(one_at_a_time, work), 0
        while (token := await tokens.get()) is not None:
            count += 1
            await say(choices=[{"index": 0, "delta": {"content": plain.tokenizer.decode(token)}}])
        read = await running
        await say(choices=[], usage={"prompt_tokens": read, "completion_tokens": count, "total_tokens": read + count})
        await response.write(b"data: [DONE]\n\n")
        return response

    served = web.Application(client_max_size=_MOST)
    served.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", complete)])
    return served


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("port", type=int)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    web.run_app(application(Plain(options.folder, options.dtype)), host="127.0.0.1", port=options.port, print=None)


if __name__ == "__main__":
    main()
