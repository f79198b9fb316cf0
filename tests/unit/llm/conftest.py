"""The untrained checkpoint, as Hugging Face loads it and as the LLM service does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from transformers import LlavaNextForConditionalGeneration

from models.tokenizer import CHAT_TEMPLATE
from services.llm import parts
from services.llm.engines.transformers import TransformersEngine
from services.llm.prompt import PromptBuilder
from services.llm.settings import LlmSettings
from services.llm.splicer import Splicer
from tests.support.hugging_face import processor_of
from tests.support.llm_parts import InProcessEncoder, Language, Seen, picture, see


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost small models more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def hf(untrained: str) -> Any:
    return LlavaNextForConditionalGeneration.from_pretrained(untrained).eval()


@pytest.fixture(scope="session")
def processor(untrained: str) -> Any:
    return processor_of(untrained, CHAT_TEMPLATE)


@pytest.fixture(scope="session")
def look(hf: Any, processor: Any) -> Callable[[tuple[int, int]], Seen]:
    """The picture of a size, as Hugging Face sees it."""
    return cache(lambda size: see(hf, processor, picture(*size)))


@pytest.fixture(scope="session")
def language(untrained: str) -> Language:
    return Language(untrained)


@pytest.fixture(scope="session")
def splicer(language: Language) -> Splicer:
    return language.splicer


@pytest.fixture(scope="session")
def prompts(untrained: str) -> PromptBuilder:
    return parts.open_prompts(LlmSettings(model=untrained))


@pytest.fixture(scope="session")
def engine(language: Language) -> TransformersEngine:
    return language.engine


@pytest.fixture
def encoder(untrained: str) -> InProcessEncoder:
    return InProcessEncoder(untrained)


class Forwards:
    """Every forward pass of a language model: how many tokens it read and what came out, or what is done to it."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.logits: list[torch.Tensor] = []
        self.before: Callable[[int], None] = lambda count: None

    def enter(self, module: Any, args: Any, kwargs: Any) -> None:
        inputs = kwargs.get("inputs_embeds", kwargs.get("input_ids"))
        self.lengths.append(inputs.shape[1])
        self.before(len(self.lengths))

    def leave(self, module: Any, args: Any, output: Any) -> None:
        self.logits.append(output.logits[0, -1])


@pytest.fixture
def forwards(engine: TransformersEngine) -> Iterator[Forwards]:
    seen = Forwards()
    handles = [
        engine.model.register_forward_pre_hook(seen.enter, with_kwargs=True),
        engine.model.register_forward_hook(seen.leave),
    ]
    yield seen
    for handle in handles:
        handle.remove()
