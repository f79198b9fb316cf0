"""Untrained checkpoints like the published ones, each in Hugging Face's classes and in both services' parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch

from models.untrained_internvl import build
from services.common.budget import Budget, Retention
from services.common.checkpoint import Checkpoint
from services.encoder.parts import open_tower
from services.encoder.settings import EncoderSettings
from services.encoder.tower import VisionTower
from services.families.registry import vision_half
from services.llm import parts
from services.llm.answer import Bill, Delta
from services.llm.assemble import Prompt
from services.llm.job import ChatJob, ImagePart, Sampling, Turn
from services.llm.settings import LlmSettings
from tests.reference_internvl import InternVLReference, Turns
from tests.support.llm_parts import InProcessEncoder, Language, png
from tests.support.remote_parts import Asked


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost small models more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Model:
    """A checkpoint, opened as it is asked for."""

    folder: Path

    @cached_property
    def hf(self) -> InternVLReference:
        return InternVLReference(self.folder)

    @cached_property
    def tower(self) -> VisionTower:
        return open_tower(EncoderSettings(model=str(self.folder)))

    @cached_property
    def tiler(self) -> Any:
        return vision_half(Checkpoint(str(self.folder), "HEROSERVE_MODEL")).tiler

    @cached_property
    def encoder(self) -> InProcessEncoder:
        """Without relevance."""
        return InProcessEncoder(str(self.folder))

    @cached_property
    def language(self) -> Language:
        return Language(self.folder)

    def job(self, turns: Turns, budget: Budget | None = None, max_tokens: int = 12) -> ChatJob:
        return ChatJob(
            tuple(
                Turn(role, tuple(part if isinstance(part, str) else ImagePart(png(part)) for part in said))
                for role, said in turns
            ),
            budget=budget or Retention(1.0),
            sampling=Sampling(max_tokens=max_tokens),
        )

    async def ask(
        self, job: ChatJob, encoder: InProcessEncoder | None = None, **settings: Any
    ) -> tuple[str, Bill, Prompt]:
        """The greedy answer, its bill, and the prompt that the engine was given."""
        read = LlmSettings(model=str(self.folder), max_images=8, **settings)
        chat = parts.open_chat(
            read,
            encoder or self.encoder,
            parts.open_prompts(read),
            self.language.splicer,
            self.language.engine,
        )
        text = ""
        with Asked(chat, self.language.engine).prompts() as prompts:
            async for piece in chat.generate(job):
                match piece:
                    case Delta(delta):
                        text += delta
                    case Bill() as bill:
                        return text, bill, prompts[0]
        raise AssertionError("no bill")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Model]:
    """Of what a published one it is like, and changes of its tower; each is made once."""
    made: dict[str, Model] = {}

    def make(like: str, *, tile: int = 112, **changes: Any) -> Model:
        key = repr((like, tile, sorted(changes.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp("internvl")
            build(folder, 0, like, tile=tile, **changes)
            made[key] = Model(folder)
        return made[key]

    return make
