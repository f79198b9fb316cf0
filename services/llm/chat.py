"""A job's way through the LLM service: encode, splice, generate, bill. It knows of no door, no engine and no family."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from services.common import context
from services.common.budget import Budget
from services.common.context import RequestContext
from services.common.together import together
from services.families.grid import Newlines
from services.llm import metrics
from services.llm.answer import Bill, Delta, FinishReason, Forecast, Timings, Usage
from services.llm.assemble import Prompt, assemble
from services.llm.detokenize import Detokenizer
from services.llm.encoded import EncodedImage, ImageEncoder, PlannedImage
from services.llm.engines.engine import Engine, Read
from services.llm.explanation import Explanation
from services.llm.job import ChatJob, ImagePart, check
from services.llm.layout import LayOut, SpliceImage
from services.llm.prompt import PromptBuilder
from services.llm.prompts_held import PromptsHeld
from services.llm.reading import Cut, Reader, Reading
from services.llm.refusal import Refusal, Role
from services.llm.shares import share
from services.llm.splicer import Splicer

_Image = TypeVar("_Image", EncodedImage, PlannedImage)


@dataclass(frozen=True)
class _Ready:
    """A prompt, and what it is billed as.

    Args:
        prompt: for the engine.
        reading: what it is made of.
        explanations: of the images; None where nobody asked for them.
        image_cache: whether the encoder had each image.
        counts: what the line about the request tells of tokens.
    """

    prompt: Prompt
    reading: Reading
    explanations: tuple[Explanation, ...] | None
    image_cache: tuple[str, ...]
    counts: dict[str, int]


class ChatPipeline:
    """Everything of the LLM service that is neither Ray Serve nor a door.

    Args:
        encoder: where visual tokens come from.
        prompts: makes token ids.
        splicer: makes embeddings of images.
        splice: orders an image's visual tokens, as the checkpoint's family does.
        engine: generates.
        newlines: which newline tokens the model reads.
        layout: in which order.
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
        layout: LayOut,
        original_positions: bool,
        max_images: int,
        default_max_tokens: int,
    ) -> None:
        self._encoder = encoder
        self._prompts = prompts
        self._splicer = splicer
        self._engine = engine
        self._held = PromptsHeld()
        self._reader = Reader(
            splice,
            newlines,
            layout,
            original_positions=original_positions,
            engine=engine,
            default_max_tokens=default_max_tokens,
        )
        self._max_images = max_images

    async def generate(self, job: ChatJob) -> AsyncIterator[Delta | Bill]:
        """Text as it comes, and last the bill; for the request that is being served.

        Raises:
            Refusal: the job can't be done as it is asked for.
            DeadlineExceeded: it is too late to begin with the images, or with the answer.
            ServiceError: the encoder could not serve it.
        """
        request = context.current()
        stages = request.stages
        ready = await self._prepare(job, request)
        request.check_deadline()
        text = Detokenizer(self._prompts.tokenizer, job.sampling.stop)
        finish: FinishReason = "length"
        first = before = 0.0
        cached = 0
        counts, reading = ready.counts, ready.reading

        def usage() -> Usage:
            return Usage(reading.text, reading.visual, reading.newline, counts["completion"], cached)

        tokens = self._engine.generate(ready.prompt, job.sampling, reading.max_tokens, request.id)
        async with aclosing(tokens):  # type: ignore[type-var]
            with stages.phases("prefill") as phases, self._held.prompt(len(ready.prompt)) as read:
                async for token in tokens:
                    if isinstance(token, Read):
                        cached = token.cached_tokens
                        counts["cached"] = cached
                        continue
                    if not first:
                        phases.next("decode")
                        read()
                        first = stages.total
                        metrics.TIME_TO_FIRST_TOKEN.observe(first)
                    else:
                        metrics.INTER_TOKEN.observe(stages.total - before)
                    before = stages.total
                    metrics.GENERATED_TOKENS.inc()
                    counts["completion"] += 1
                    delta = text.add(token)
                    if delta:
                        yield Delta(delta, usage())
                    if text.stopped or (token in self._engine.end_tokens and not job.sampling.ignore_eos):
                        finish = "stop"
                        break
        if counts["completion"] < reading.max_tokens:
            finish = "stop"
        rest = text.finish()
        if rest:
            yield Delta(rest, usage())
        request.note(finish_reason=finish)
        metrics.ANSWERS.labels(finish_reason=finish).inc()
        yield Bill(
            finish_reason=finish,
            usage=usage(),
            savings=reading.savings,
            timings=Timings(stages.seconds.get("encode", 0.0), first, stages.total),
            explanations=ready.explanations,
            image_cache=ready.image_cache,
        )

    def prompt_tokens(self) -> tuple[int, int]:
        """Of the prompts that the engine has: those of requests that wait for room in it, and of those begun."""
        return self._held.tokens(self._engine.waiting)

    async def plan(self, job: ChatJob) -> Forecast:
        """What ``generate`` would have the language model read: nothing is generated, and nothing counted as dropped.

        Raises:
            Refusal, ServiceError: as ``generate``.
        """
        request = context.current()
        ids = self._ids(job)
        planned = await self._images(job, request, partial(self._encoder.plan, explain=True))
        reading = self._reader.read(job, len(ids) - len(planned), list(map(Cut.of, planned)))
        request.note(tokens={"total": reading.savings.total, "kept": reading.savings.kept})
        return Forecast(
            usage=Usage(reading.text, reading.visual, reading.newline, 0),
            savings=reading.savings,
            timings=Timings(request.stages.seconds.get("encode", 0.0), 0.0, request.stages.total),
            explanations=tuple(image.explanation for image in planned if image.explanation is not None),
            image_cache=tuple(image.cache for image in planned),
        )

    async def _prepare(self, job: ChatJob, request: RequestContext) -> _Ready:
        ids = self._ids(job)
        encoded = await self._images(job, request, partial(self._encoder.fetch, explain=job.explain))
        reading = self._reader.read(job, len(ids) - len(encoded), list(map(Cut.of, encoded)))
        with request.stages.time("assemble"):
            prompt = await asyncio.to_thread(
                assemble,
                self._splicer,
                ids,
                self._prompts.image_token_id,
                [(image.features, splice) for image, splice in zip(encoded, reading.splices, strict=True)],
                original_positions=self._reader.original_positions,
                turns=job.turns,
            )
        for kind, count in reading.tokens.items():
            metrics.PROMPT_TOKENS.labels(kind=kind).inc(count)
        savings = reading.savings
        metrics.PREFILL_FLOPS_SAVED.inc(savings.prefill_flops)
        metrics.KV_CACHE_BYTES_SAVED.inc(savings.kv_cache_bytes)
        told = tuple(image.explanation for image in encoded if image.explanation is not None)
        explanations = told if job.explain else None
        # What was read and written is told of a request that is broken off, too.
        counts = {"total": savings.total, "kept": savings.kept, "prompt": len(prompt), "completion": 0}
        request.note(tokens=counts)
        return _Ready(prompt, reading, explanations, tuple(image.cache for image in encoded), counts)

    def _ids(self, job: ChatJob) -> list[int]:
        """Token ids of its prompt, with one placeholder an image."""
        check(job, self._max_images)
        if job.sampling.json_schema is not None and not self._engine.takes_json_schema:
            raise Refusal(Role("json_schema"), "is set, and the engine here answers in text alone; leave it out")
        return self._prompts.build(job)

    async def _images(
        self,
        job: ChatJob,
        request: RequestContext,
        ask: Callable[[Role, ImagePart, str, Budget | None], Coroutine[Any, Any, _Image]],
    ) -> list[_Image]:
        """What the encoder answers, asked about each image."""
        if not job.images:
            return []
        request.check_deadline()
        with request.stages.time("encode", span="encode"):
            budgets = await self._budgets(job)
            asked = zip(job.images, job.questions, budgets, strict=True)
            found = await together(ask(*image, question, budget) for image, question, budget in asked)
        request.note(cache=",".join(image.cache for image in found))
        return found

    async def _budgets(self, job: ChatJob) -> list[Budget | None]:
        """Of each image."""
        if not job.share_budget or len(job.images) < 2:
            return [job.budget] * len(job.images)
        asked = zip(job.images, job.questions, strict=True)
        plans = await together(self._encoder.plan(*image, question, job.budget) for image, question in asked)
        context.current().check_deadline()
        return list(share(job.budget, plans))
