"""The LLM service's heart with the bundled model, over its own engine or over a vLLM beside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from services.common import context
from services.common.budget import Retention
from services.common.context import RequestContext
from services.common.settings import BUNDLED_MODEL
from services.llm import parts
from services.llm.answer import Bill, Delta
from services.llm.assemble import Prompt
from services.llm.chat import ChatPipeline
from services.llm.engines.registry import open_engine
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.settings import LlmSettings
from tests.support.llm_parts import InProcessEncoder

# That servers are started with.
KEY = "s3cret"
STAR = "what character is on the black star?"
BOTH = "what characters are on the black cross and the green square?"


@dataclass(frozen=True)
class Answer:
    text: str
    bill: Bill


class Asked:
    """Attributes: chat: the heart; engine: under it."""

    def __init__(self, chat: ChatPipeline, engine: Any) -> None:
        self.chat = chat
        self.engine = engine

    async def __call__(
        self, question: str, *images: bytes, retention: float = 0.2, before: tuple[Turn, ...] = (), **sampling: Any
    ) -> Answer:
        """About images, behind earlier turns."""
        turn = Turn("user", (*(ImagePart(data=data) for data in images), question))
        job = ChatJob((*before, turn), budget=Retention(retention), sampling=Sampling(**sampling))
        text, bill = "", None
        with context.serving(RequestContext(id="request")):
            async for piece in self.chat.generate(job):
                match piece:
                    case Delta():
                        text += piece.text
                    case Bill():
                        bill = piece
        assert bill is not None
        return Answer(text, bill)

    @contextmanager
    def prompts(self) -> Iterator[list[Prompt]]:
        """Those that the engine is given meanwhile."""
        seen: list[Prompt] = []
        generate = self.engine.generate

        def noting(prompt: Prompt, *rest: Any) -> Any:
            seen.append(prompt)
            return generate(prompt, *rest)

        self.engine.generate = noting
        try:
            yield seen
        finally:
            del self.engine.generate


@asynccontextmanager
async def asking(
    encoder: InProcessEncoder, *urls: str, model: str = BUNDLED_MODEL, key: str = KEY
) -> AsyncIterator[Asked]:
    """With the engine begun; without URLs it is that of this process."""
    engine_name = "vllm-remote" if urls else "transformers"
    settings = LlmSettings(model=model, engine=engine_name, vllm_urls=urls, vllm_api_key=key, max_images=4)
    parts.check(settings)
    prompts = parts.open_prompts(settings)
    engine: Any = open_engine(settings, parts.model(settings), prompts)
    await engine.begin()
    try:
        splicer = parts.open_splicer(settings)
        yield Asked(parts.open_chat(settings, encoder, prompts, splicer, engine), engine)
    finally:
        if urls:
            await engine.close()
