"""A request's way through the LLM service: encode, assemble, generate, bill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from heroserve.v1.chat_pb2 import ChatTimings, GenerateResponse, Usage
from heroserve.v1.encoder_pb2 import VisualTokens
from heroserve.v1.tokens_pb2 import Savings
from services.common.errors import Internal, InvalidArgument
from services.llm import metrics
from services.llm.assemble import Prompt, assemble
from services.llm.cost import PromptCost
from services.llm.detokenize import Detokenizer
from services.llm.encoder_client import EncoderClient
from services.llm.engines.engine import Engine
from services.llm.layout import ImageLayout, lay_out
from services.llm.model import LanguageModel
from services.llm.prompt import PromptBuilder
from services.llm.request import ChatJob
from services.llm.settings import LlmSettings


@dataclass(frozen=True)
class _Ready:
    """A prompt, and what it is billed as."""

    prompt: Prompt
    usage: Usage
    savings: Savings
    max_tokens: int
    encode_seconds: float


class ChatPipeline:
    """Everything of the LLM service that is not Ray Serve."""

    def __init__(
        self,
        settings: LlmSettings,
        encoder: EncoderClient,
        prompts: PromptBuilder,
        model: LanguageModel,
        engine: Engine,
    ) -> None:
        self._settings = settings
        self._encoder = encoder
        self._prompts = prompts
        self._model = model
        self._engine = engine
        self._cost = PromptCost.of(model)

    async def generate(self, job: ChatJob) -> AsyncIterator[GenerateResponse]:
        """Text as it comes, and last the bill.

        Raises:
            ServiceError: what the caller sent can't be used, or the encoder could not serve it.
        """
        started = time.perf_counter()
        ready = await self._prepare(job)
        text = Detokenizer(self._prompts.tokenizer, job.sampling.stop)
        finish = GenerateResponse.LENGTH
        first = 0.0
        tokens = self._engine.generate(ready.prompt, job.sampling, ready.max_tokens)
        async with aclosing(tokens):  # type: ignore[type-var]
            async for token in tokens:
                if not first:
                    first = time.perf_counter() - started
                    metrics.TIME_TO_FIRST_TOKEN.observe(first)
                metrics.GENERATED_TOKENS.inc()
                ready.usage.completion_tokens += 1
                delta = text.add(token)
                if delta:
                    yield GenerateResponse(delta=delta)
                if text.stopped or token in self._model.eos_token_ids:
                    finish = GenerateResponse.STOP
                    break
        rest = text.finish()
        if rest:
            yield GenerateResponse(delta=rest)
        yield GenerateResponse(
            finish_reason=finish,
            usage=ready.usage,
            savings=ready.savings,
            timings=ChatTimings(
                encode=ready.encode_seconds, time_to_first_token=first, total=time.perf_counter() - started
            ),
        )

    async def _prepare(self, job: ChatJob) -> _Ready:
        ids = self._prompts.build(job)
        started = time.perf_counter()
        encoded = await self._encode(job)
        encode_seconds = time.perf_counter() - started if encoded else 0.0
        images = [(tokens, lay_out(tokens, self._settings.newlines)) for tokens in encoded]
        usage = Usage(
            prompt_text_tokens=len(ids) - len(images),
            prompt_visual_tokens=sum(tokens.savings.kept for tokens in encoded),
            prompt_newline_tokens=sum(layout.newlines for _, layout in images),
        )
        original = self._settings.position_ids == "original"
        # Positions are what the model has a limited number of: original ones count dropped tokens too.
        image_positions = sum(layout.full_length if original else len(layout.source) for _, layout in images)
        max_tokens = self._fit(job, image_positions + usage.prompt_text_tokens)
        prompt = await asyncio.to_thread(
            assemble,
            self._model,
            ids,
            self._prompts.image_token_id,
            images,
            original_positions=original,
        )
        self._count(prompt, usage, images)
        savings = Savings(
            total=sum(tokens.savings.total for tokens in encoded),
            kept=usage.prompt_visual_tokens,
            dropped=sum(tokens.savings.dropped for tokens in encoded),
        )
        return _Ready(prompt, usage, savings, max_tokens, encode_seconds)

    async def _encode(self, job: ChatJob) -> list[VisualTokens]:
        tasks = [asyncio.ensure_future(self._encoder.encode(part, job.question, job.budget)) for part in job.images]
        try:
            encoded = await asyncio.gather(*tasks)
        finally:
            # When one fails, nobody waits for the others.
            for task in tasks:
                task.cancel()
        for tokens in encoded:
            if tokens.features.cols != self._model.feature_width:
                raise Internal(
                    f"the encoder at {self._settings.encoder_target} serves another model: its features are "
                    f"{tokens.features.cols} wide, this one's projector takes {self._model.feature_width}"
                )
        return encoded

    def _fit(self, job: ChatJob, prompt_tokens: int) -> int:
        """Tokens that may be generated behind a prompt of this length."""
        limit = self._model.context_length
        room = limit - prompt_tokens
        if room < 1:
            raise InvalidArgument(
                "messages",
                f"make a prompt of {prompt_tokens} tokens; the limit is {limit} with the answer. Shorten the text"
                + (" or lower budget.retention" if self._settings.position_ids == "compact" else ""),
            )
        wanted = job.sampling.max_tokens
        if wanted is None:
            return min(room, self._settings.default_max_tokens)
        if wanted > room:
            raise InvalidArgument(
                "sampling.max_tokens",
                f"is {wanted}; behind a prompt of {prompt_tokens} tokens the limit is {room} of {limit}",
            )
        return wanted

    def _count(self, prompt: Prompt, usage: Usage, images: list[tuple[VisualTokens, ImageLayout]]) -> None:
        for kind in ("text", "visual", "newline"):
            metrics.PROMPT_TOKENS.labels(kind=kind).inc(getattr(usage, f"prompt_{kind}_tokens"))
        saved = sum(layout.full_length - len(layout.source) for _, layout in images)
        full = len(prompt) + saved
        metrics.PREFILL_FLOPS_SAVED.inc(self._cost.flops(full) - self._cost.flops(len(prompt)))
        metrics.KV_CACHE_BYTES_SAVED.inc(saved * self._cost.kv_bytes)
