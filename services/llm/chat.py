"""A job's way through the LLM service: encode, splice, generate, bill. It knows of no door, no engine and no family."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from services.common import context
from services.common.budget import Budget
from services.common.context import RequestContext
from services.common.together import together
from services.families.family import Splice
from services.families.grid import Newlines
from services.llm import metrics
from services.llm.answer import Bill, Delta, FinishReason, Savings, Timings, Usage
from services.llm.assemble import Prompt, assemble
from services.llm.detokenize import Detokenizer
from services.llm.encoded import EncodedImage, ImageEncoder
from services.llm.engines.engine import Engine, Read
from services.llm.explanation import Explanation
from services.llm.job import ChatJob, check
from services.llm.layout import LayOut, SpliceImage
from services.llm.prompt import PromptBuilder
from services.llm.refusal import Refusal, Role
from services.llm.shares import share
from services.llm.splicer import Splicer


@dataclass(frozen=True)
class _Ready:
    """A prompt, and what it is billed as.

    Args:
        prompt: for the engine.
        prompt_tokens: by kind: text, visual, newline.
        savings: of visual tokens.
        explanations: of the images; None where nobody asked for them.
        max_tokens: that may be generated.
        counts: what the line about the request tells of tokens.
    """

    prompt: Prompt
    prompt_tokens: dict[str, int]
    savings: Savings
    explanations: tuple[Explanation, ...] | None
    max_tokens: int
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
        self._splice = splice
        self._engine = engine
        self._newlines = newlines
        self._layout = layout
        self._original_positions = original_positions
        self._max_images = max_images
        self._default_max_tokens = default_max_tokens

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
        counts, prompt = ready.counts, ready.prompt_tokens

        def usage() -> Usage:
            return Usage(prompt["text"], prompt["visual"], prompt["newline"], counts["completion"], cached)

        tokens = self._engine.generate(ready.prompt, job.sampling, ready.max_tokens, request.id)
        async with aclosing(tokens):  # type: ignore[type-var]
            with stages.phases("prefill") as phases:
                async for token in tokens:
                    if isinstance(token, Read):
                        cached = token.cached_tokens
                        counts["cached"] = cached
                        continue
                    if not first:
                        phases.next("decode")
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
        if counts["completion"] < ready.max_tokens:
            finish = "stop"
        rest = text.finish()
        if rest:
            yield Delta(rest, usage())
        request.note(finish_reason=finish)
        metrics.ANSWERS.labels(finish_reason=finish).inc()
        yield Bill(
            finish_reason=finish,
            usage=usage(),
            savings=ready.savings,
            timings=Timings(stages.seconds.get("encode", 0.0), first, stages.total),
            explanations=ready.explanations,
        )

    async def _prepare(self, job: ChatJob, request: RequestContext) -> _Ready:
        check(job, self._max_images)
        if job.sampling.json_schema is not None and not self._engine.takes_json_schema:
            raise Refusal(Role("json_schema"), "is set, and the engine here answers in text alone; leave it out")
        ids = self._prompts.build(job)
        encoded: list[EncodedImage] = []
        if job.images:
            request.check_deadline()
            with request.stages.time("encode", span="encode"):
                encoded = await self._encode(job)
            request.note(cache=",".join(image.cache for image in encoded))
        splices = [self._layout(self._splice, image.grid, image.kept, image.base, self._newlines) for image in encoded]
        tokens = {
            "text": len(ids) - len(encoded),
            "visual": sum(len(image.features) for image in encoded),
            "newline": sum(splice.newlines for splice in splices),
        }
        # Positions are what the model has a limited number of: original ones count dropped tokens too.
        image_positions = sum(splice.full_length if self._original_positions else len(splice) for splice in splices)
        max_tokens = self._fit(job, image_positions + tokens["text"])
        with request.stages.time("assemble"):
            prompt = await asyncio.to_thread(
                assemble,
                self._splicer,
                ids,
                self._prompts.image_token_id,
                [(image.features, splice) for image, splice in zip(encoded, splices, strict=True)],
                original_positions=self._original_positions,
                turns=job.turns,
            )
        spared = self._count(prompt, tokens, splices)
        savings = Savings(sum(image.total for image in encoded), tokens["visual"], *spared)
        told = tuple(image.explanation for image in encoded if image.explanation is not None)
        explanations = told if job.explain else None
        # What was read and written is told of a request that is broken off, too.
        counts = {"total": savings.total, "kept": savings.kept, "prompt": len(prompt), "completion": 0}
        request.note(tokens=counts)
        return _Ready(prompt, tokens, savings, explanations, max_tokens, counts)

    async def _encode(self, job: ChatJob) -> list[EncodedImage]:
        asked = [(place, image, question) for (place, image), question in zip(job.images, job.questions, strict=True)]
        budgets: list[Budget | None] = [job.budget] * len(asked)
        if job.share_budget and len(asked) > 1:
            plans = await together(self._encoder.plan(*each, job.budget) for each in asked)
            context.current().check_deadline()
            budgets = list(share(job.budget, plans))
        return await together(
            self._encoder.fetch(*each, budget, explain=job.explain) for each, budget in zip(asked, budgets, strict=True)
        )

    def _fit(self, job: ChatJob, prompt_tokens: int) -> int:
        """Tokens that may be generated behind a prompt of this length."""
        limit = self._engine.context_length
        room = limit - prompt_tokens
        if room < 1:
            raise Refusal(
                Role("messages"),
                f"make a prompt of {prompt_tokens} tokens; the limit is {limit} with the answer. Shorten the text"
                + (" or lower {remedy}" if job.images and not self._original_positions else ""),
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

    def _count(self, prompt: Prompt, tokens: dict[str, int], splices: list[Splice]) -> tuple[float, int]:
        """What was spared: operations of prefill, and bytes of KV cache."""
        for kind, count in tokens.items():
            metrics.PROMPT_TOKENS.labels(kind=kind).inc(count)
        # Laid out in two parts, an image that loses next to nothing has more newlines than before.
        saved = max(0, sum(splice.full_length - len(splice) for splice in splices))
        full = len(prompt) + saved
        cost = self._engine.cost
        flops, kv_bytes = cost.flops(full) - cost.flops(len(prompt)), saved * cost.kv_bytes
        metrics.PREFILL_FLOPS_SAVED.inc(flops)
        metrics.KV_CACHE_BYTES_SAVED.inc(kv_bytes)
        return flops, kv_bytes
