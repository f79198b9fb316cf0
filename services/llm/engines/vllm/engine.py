"""The engine that generates for many requests at once: continuous batching, paged attention, prefix caching."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import torch
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import GracefulHTTPError, VLLMClientError
from vllm.inputs.engine import embeds_input
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from services.common import context
from services.common.errors import ResourceExhausted, Unavailable
from services.common.orphans import Orphans
from services.common.shown import first_line
from services.llm.assemble import Prompt
from services.llm.cost import PromptCost
from services.llm.engines.engine import Read
from services.llm.engines.vllm.drawing import Drawing
from services.llm.engines.vllm.load import Load, stat_logger
from services.llm.job import Sampling
from services.llm.refusal import Refusal, Role


class VllmEngine:
    """An ``Engine``. It computes in processes of its own, which end with this one.

    To be made in the event loop that it is used in.

    Args:
        folder: of an exported language model.
        arguments: of vLLM's ``AsyncEngineArgs``, but for the model.
        config: the language model's, of transformers.
        dtype: that it runs in.
        drawing: how its answers are drawn.
    """

    takes_position_ids = False
    problem = None

    def __init__(
        self, folder: Path, arguments: dict[str, Any], config: Any, dtype: torch.dtype, drawing: Drawing
    ) -> None:
        self.load = Load()
        self._orphans = Orphans()
        engine = AsyncEngineArgs(
            model=str(folder),
            enable_prompt_embeds=True,
            generation_config="vllm",
            disable_log_stats=True,
            **arguments,
        )
        self._llm: Any = AsyncLLM.from_engine_args(engine, stat_loggers=[stat_logger(self.load)])
        self._orphans.settled()
        self.end_tokens = drawing.end_tokens
        self.context_length = int(self._llm.model_config.max_model_len)
        self.slots = int(self._llm.vllm_config.scheduler_config.max_num_seqs)
        self.cost = PromptCost.of(config, dtype)
        self._drawing = drawing
        self._dtype = dtype
        self._width = int(config.hidden_size)
        self._vocabulary = int(config.vocab_size)
        tokenizer = self._llm.tokenizer
        # A grammar ends with it.
        self._end: int | None = None if tokenizer is None else tokenizer.eos_token_id

    @property
    def waiting(self) -> int:
        return self.load.waiting

    @property
    def takes_json_schema(self) -> bool:
        """Whether an answer can be held to one: its end has to be a token."""
        return self._end is not None

    async def begin(self) -> None:
        """It is ready as it is."""

    async def generate(
        self, prompt: Prompt, sampling: Sampling, max_tokens: int, request_id: str = ""
    ) -> AsyncIterator[int | Read]:
        # Rows of megabytes, for which others' tokens would wait.
        given = await asyncio.to_thread(self._prompt, prompt)
        params = self._params(prompt, sampling, max_tokens)
        answer = self._llm.generate(given, params, request_id or "heroserve")
        self.load.add(1)
        try:
            async with aclosing(answer):
                told = False
                async for output in answer:
                    if not told:
                        told = True
                        yield Read(cached_tokens=output.num_cached_tokens or 0)
                    (said,) = output.outputs
                    for token in said.token_ids:
                        yield token
                    if said.finish_reason in ("error", "abort"):
                        raise Unavailable("the engine has given this request up; try again")
        except EngineDeadError as error:
            raise Unavailable("the engine has died, and is started anew; try again") from error
        except GracefulHTTPError as error:
            raise ResourceExhausted(
                f"the engine takes no more requests ({first_line(error)})", reason="line"
            ) from error
        except VLLMClientError as error:
            role = Role("messages") if sampling.json_schema is None else Role("json_schema")
            raise Refusal(role, f"can't be generated for: {first_line(error)}") from error
        finally:
            self.load.add(-1)

    def check_health(self) -> None:
        if self._llm.errored:
            raise RuntimeError("vLLM's engine has died; its processes told why")

    def close(self) -> None:
        """End its processes."""
        self._llm.shutdown()
        self._orphans.dismiss()

    def _prompt(self, prompt: Prompt) -> Any:
        """Text by its ids, which vLLM embeds; images by their embeddings, with nothing that is read in text's rows."""
        rows = torch.zeros(len(prompt), self._width, dtype=self._dtype)
        for image in prompt.images:
            rows[image.start : image.end] = image.embeddings
        # A placeholder may stand beyond the last token there is; vLLM pads with the one behind it.
        ids = prompt.token_ids.clamp(max=self._vocabulary)
        return embeds_input(
            rows,
            prompt_token_ids=ids.tolist(),
            is_token_ids=prompt.is_text().tolist(),
            # What is cached of one's prompts is not found, and not seen by the time it takes, by another.
            cache_salt=context.current().scope or None,
        )

    def _params(self, prompt: Prompt, sampling: Sampling, max_tokens: int) -> Any:
        ends = frozenset[int]() if sampling.ignore_eos else self.end_tokens
        structured = None
        if sampling.json_schema is not None:
            structured = StructuredOutputsParams(json=sampling.json_schema)
            # Behind its end a grammar asks for nothing.
            ends = self.end_tokens | {self._end} if self._end is not None else self.end_tokens
        arguments = self._drawing.params(sampling, len(prompt), max_tokens, ends)
        return SamplingParams(
            **arguments,
            structured_outputs=structured,
            output_kind=RequestOutputKind.DELTA,
            skip_clone=True,
        )
