"""The embedded engine: one request a thread, straight through the transformers model. Exact, not fast."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import DynamicCache

from services.common.checkpoint import Checkpoint
from services.common.waiting import WAITING
from services.common.weights.load import load_pretrained
from services.common.weights.stored import stored_tensors
from services.families.family import LanguageHalf
from services.llm import metrics
from services.llm.assemble import Prompt
from services.llm.cost import PromptCost
from services.llm.engines.sampler import LogitsProcessors, Sampler
from services.llm.job import Sampling
from services.llm.language_model import language_model

_WAITING = WAITING.labels(where="engine")


class TransformersEngine:
    """An ``Engine``: ``threads`` requests at a time, the others wait in line.

    Args:
        model: a causal language model of transformers; its generation config is heeded.
        end_tokens: that end an answer.
        threads: see above.
    """

    takes_position_ids = True
    takes_json_schema = False
    problem = None

    def __init__(self, model: Any, end_tokens: frozenset[int], threads: int) -> None:
        self.model = model
        self.end_tokens = end_tokens
        self.context_length = int(model.config.max_position_embeddings)
        self.cost = PromptCost.of(model.config, model.dtype)
        self._processors = LogitsProcessors(model.config, model.generation_config, end_tokens)
        self.slots = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="generate")

    @property
    def waiting(self) -> int:
        return self._pool._work_queue.qsize()

    async def generate(
        self, prompt: Prompt, sampling: Sampling, max_tokens: int, request_id: str = ""
    ) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int | None] = asyncio.Queue()
        stopped = threading.Event()

        def work() -> None:
            _WAITING.dec()
            metrics.ENGINE_RUNNING.inc()
            try:
                for token in self._tokens(prompt, sampling, max_tokens):
                    if stopped.is_set():
                        return
                    loop.call_soon_threadsafe(queue.put_nowait, token)
            finally:
                metrics.ENGINE_RUNNING.dec()
                loop.call_soon_threadsafe(queue.put_nowait, None)

        # What it logs is told of the request that it is done for.
        _WAITING.inc()
        running = self._pool.submit(contextvars.copy_context().run, work)
        try:
            while (token := await queue.get()) is not None:
                yield token
            await asyncio.wrap_future(running)
        finally:
            stopped.set()
            # One that still waits in line never starts.
            if running.cancel():
                _WAITING.dec()

    async def begin(self) -> None:
        """It is ready as it is."""

    def check_health(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    @torch.inference_mode()
    def _tokens(self, prompt: Prompt, sampling: Sampling, max_tokens: int) -> Iterator[int]:
        model, device = self.model, self.model.device
        cache = DynamicCache(config=model.config)
        processors = self._processors.of(sampling, len(prompt), max_tokens, device)
        draw = Sampler(processors, sampling, prompt.token_ids, device)
        inputs = {
            "inputs_embeds": prompt.embed(model.get_input_embeddings(), device)[None],
            "position_ids": prompt.position_ids[None].to(device),
        }
        for index in range(max_tokens):
            logits = model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1]
            token = draw(logits)
            yield token
            if token in self.end_tokens and not sampling.ignore_eos:
                return
            inputs = {
                "inputs_embeds": model.get_input_embeddings()(torch.tensor([[token]], device=device)),
                "position_ids": torch.tensor([[prompt.next_position + index]], device=device),
            }


def load_language_model(half: LanguageHalf, source: Checkpoint, device: torch.device, dtype: torch.dtype) -> Any:
    """The causal language model of a checkpoint, and nothing else of it; on ``meta`` nothing is read.

    Raises:
        SettingError: the checkpoint has no such weights, or they do not fit its config.
    """
    weights = stored_tensors(source, half.language_weight)
    return load_pretrained(language_model(half.config), half.config, weights, source, device, dtype)
