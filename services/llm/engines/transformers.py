"""The embedded engine: one request a thread, straight through the transformers model. Exact, not fast."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from transformers import DynamicCache, TemperatureLogitsWarper, TopPLogitsWarper

from services.llm.assemble import Prompt
from services.llm.model import LanguageModel
from services.llm.request import Sampling

# Any colder, and dividing logits by the temperature overflows; the softmax is a single spike by then.
_GREEDY_BELOW = 1e-6


class TransformersEngine:
    """Generates with ``model``; ``threads`` requests at a time, the others wait in line."""

    def __init__(self, model: LanguageModel, threads: int) -> None:
        self._model = model
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="generate")

    async def generate(self, prompt: Prompt, sampling: Sampling, max_tokens: int) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int | None] = asyncio.Queue()
        stopped = threading.Event()

        def work() -> None:
            try:
                for token in self._tokens(prompt, sampling, max_tokens):
                    if stopped.is_set():
                        return
                    loop.call_soon_threadsafe(queue.put_nowait, token)
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        running = loop.run_in_executor(self._pool, work)
        try:
            while (token := await queue.get()) is not None:
                yield token
            await running
        finally:
            # One that still waits in line never starts.
            stopped.set()
            running.cancel()

    def check_health(self) -> None:
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)

    @torch.inference_mode()
    def _tokens(self, prompt: Prompt, sampling: Sampling, max_tokens: int) -> Iterator[int]:
        model = self._model.causal_lm
        cache = DynamicCache(config=self._model.config)
        draw = _Sampler(sampling, self._model.device)
        inputs = {"inputs_embeds": prompt.embeddings[None], "position_ids": prompt.position_ids[None]}
        for index in range(max_tokens):
            logits = model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
            token = draw(logits)
            yield token
            if token in self._model.eos_token_ids:
                return
            inputs = {
                "input_ids": torch.tensor([[token]], device=self._model.device),
                "position_ids": torch.tensor([[prompt.next_position + index]], device=self._model.device),
            }


class _Sampler:
    """Draws one token from logits [V]."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self._greedy = sampling.temperature < _GREEDY_BELOW
        if self._greedy:
            return
        self._warpers = [TemperatureLogitsWarper(sampling.temperature)]
        if sampling.top_p < 1:
            self._warpers.append(TopPLogitsWarper(sampling.top_p))
        self._random = torch.Generator(device)
        if sampling.seed is None:
            self._random.seed()
        else:
            # A generator takes 64 bits signed.
            self._random.manual_seed(sampling.seed & 0x7FFF_FFFF_FFFF_FFFF)

    def __call__(self, logits: torch.Tensor) -> int:
        if self._greedy:
            return int(logits.argmax())
        scores = logits.float()[None]
        for warp in self._warpers:
            scores = warp(None, scores)
        return int(torch.multinomial(scores.softmax(-1)[0], 1, generator=self._random))
