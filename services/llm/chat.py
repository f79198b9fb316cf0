"""A job's way through the LLM service: encode, splice, generate, bill. It knows of no door, no engine and no family."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.common import context
from services.families.family import Splice
from services.families.grid import Grid, Newlines
from services.llm import metrics
from services.llm.answer import Bill, Delta, FinishReason, Savings, Timings, Usage
from services.llm.assemble import Prompt, assemble
from services.llm.detokenize import Detokenizer
from services.llm.encoded import EncodedImage, ImageEncoder
from services.llm.engines.engine import Engine
from services.llm.job import ChatJob, check
from services.llm.prompt import PromptBuilder
from services.llm.refusal import Refusal, Role
from services.llm.splicer import Splicer

# ``LanguageHalf.splice``.
SpliceImage = Callable[[Grid, Sequence[np.ndarray[Any, np.dtype[np.int64]]], Newlines], Splice]


@dataclass(frozen=True)
class _Ready:
    """A prompt, and what it is billed as; ``prompt_tokens`` by kind: text, visual, newline."""

    prompt: Prompt
    prompt_tokens: dict[str, int]
    savings: Savings
    max_tokens: int
    encode_seconds: float


class ChatPipeline:
    """Everything of the LLM service that is neither Ray Serve nor a door.

    Args:
        encoder: where visual tokens come from.
        prompts: makes token ids.
        splicer: makes embeddings.
        splice: orders an image's visual tokens, as the checkpoint's family does.
        engine: generates.
        newlines: which newline tokens the model reads.
        original_positions: number tokens as if nothing had been dropped (else: without gaps).
        max_images: of a conversation.
        default_max_tokens: of an answer, where a job names no limit.
    """

    def __init__(
        self,
        *,
        encoder: ImageEncoder,
        prompts: PromptBuilder,
        splicer: Splicer,
        splice: SpliceImage,
        engine: Engine,
        newlines: Newlines,
        original_positions: bool,
        max_images: int,
        default_max_tokens: int,
    ) -> None:
        self._encoder = encoder
        self._prompts = prompts
        self._splicer = splicer
        self._splice = splice
        self._engine = engine
        self._newlines = newlines
        self._original_positions = original_positions
        self._max_images = max_images
        self._default_max_tokens = default_max_tokens

    async def generate(self, job: ChatJob) -> AsyncIterator[Delta | Bill]:
        """Text as it comes, and last the bill.

        Raises:
            Refusal: the job can't be done as it is asked for.
            ServiceError: the encoder could not serve it.
        """
        started = time.perf_counter()
        ready = await self._prepare(job)
        text = Detokenizer(self._prompts.tokenizer, job.sampling.stop)
        finish: FinishReason = "length"
        first = 0.0
        completion = 0
        tokens = self._engine.generate(ready.prompt, job.sampling, ready.max_tokens, context.current().id)
        async with aclosing(tokens):  # type: ignore[type-var]
            async for token in tokens:
                if not first:
                    first = time.perf_counter() - started
                    metrics.TIME_TO_FIRST_TOKEN.observe(first)
                metrics.GENERATED_TOKENS.inc()
                completion += 1
                delta = text.add(token)
                if delta:
                    yield Delta(delta)
                if text.stopped or token in self._engine.end_tokens:
                    finish = "stop"
                    break
        rest = text.finish()
        if rest:
            yield Delta(rest)
        prompt = ready.prompt_tokens
        yield Bill(
            finish_reason=finish,
            usage=Usage(prompt["text"], prompt["visual"], prompt["newline"], completion),
            savings=ready.savings,
            timings=Timings(ready.encode_seconds, first, time.perf_counter() - started),
        )

    async def _prepare(self, job: ChatJob) -> _Ready:
        check(job, self._max_images)
        ids = self._prompts.build(job)
        started = time.perf_counter()
        encoded = await self._encode(job)
        encode_seconds = time.perf_counter() - started if encoded else 0.0
        splices = [self._splice(image.grid, image.kept, self._newlines) for image in encoded]
        tokens = {
            "text": len(ids) - len(encoded),
            "visual": sum(len(image.features) for image in encoded),
            "newline": sum(splice.newlines for splice in splices),
        }
        # Positions are what the model has a limited number of: original ones count dropped tokens too.
        image_positions = sum(splice.full_length if self._original_positions else len(splice) for splice in splices)
        max_tokens = self._fit(job, image_positions + tokens["text"])
        prompt = await asyncio.to_thread(
            assemble,
            self._splicer,
            ids,
            self._prompts.image_token_id,
            [(image.features, splice) for image, splice in zip(encoded, splices, strict=True)],
            original_positions=self._original_positions,
        )
        self._count(prompt, tokens, splices)
        savings = Savings(total=sum(image.total for image in encoded), kept=tokens["visual"])
        return _Ready(prompt, tokens, savings, max_tokens, encode_seconds)

    async def _encode(self, job: ChatJob) -> list[EncodedImage]:
        tasks = [
            asyncio.ensure_future(self._encoder.fetch(place, image, job.question, job.budget))
            for place, image in job.images
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            # When one fails, nobody waits for the others.
            for task in tasks:
                task.cancel()

    def _fit(self, job: ChatJob, prompt_tokens: int) -> int:
        """Tokens that may be generated behind a prompt of this length."""
        limit = self._engine.context_length
        room = limit - prompt_tokens
        if room < 1:
            raise Refusal(
                Role("messages"),
                f"make a prompt of {prompt_tokens} tokens; the limit is {limit} with the answer. Shorten the text"
                + ("" if self._original_positions else " or lower {remedy}"),
                remedy=Role("retention"),
            )
        wanted = job.sampling.max_tokens
        if wanted is None:
            return min(room, self._default_max_tokens)
        if wanted > room:
            raise Refusal(
                Role("max_tokens"),
                f"is {wanted}; behind a prompt of {prompt_tokens} tokens the limit is {room} of {limit}",
            )
        return wanted

    def _count(self, prompt: Prompt, tokens: dict[str, int], splices: list[Splice]) -> None:
        for kind, count in tokens.items():
            metrics.PROMPT_TOKENS.labels(kind=kind).inc(count)
        saved = sum(splice.full_length - len(splice) for splice in splices)
        full = len(prompt) + saved
        cost = self._engine.cost
        metrics.PREFILL_FLOPS_SAVED.inc(cost.flops(full) - cost.flops(len(prompt)))
        metrics.KV_CACHE_BYTES_SAVED.inc(saved * cost.kv_bytes)
