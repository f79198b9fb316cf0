"""What every engine does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from services.llm.assemble import Prompt
from services.llm.cost import PromptCost
from services.llm.job import Sampling


@dataclass(frozen=True)
class Read:
    """That a prompt has been read.

    Args:
        cached_tokens: of it, which the engine had read for earlier requests.
    """

    cached_tokens: int


class Engine(Protocol):
    """Owns a language model's weights and generates tokens with them, for many requests at once."""

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ...

    @property
    def cost(self) -> PromptCost:
        """What a token of a prompt costs it."""
        ...

    @property
    def slots(self) -> int:
        """Requests that it generates for at once."""
        ...

    @property
    def waiting(self) -> int:
        """Requests of its own that it has no room to begin with."""
        ...

    @property
    def takes_position_ids(self) -> bool:
        """Whether it heeds ``Prompt.position_ids``; else it numbers tokens one after the other."""
        ...

    @property
    def takes_json_schema(self) -> bool:
        """Whether it heeds ``sampling.json_schema``; who does not is never given one."""
        ...

    @property
    def problem(self) -> str | None:
        """Why nobody would be answered now, for everybody to read; None where somebody would, or this process tells."""
        ...

    async def begin(self) -> None:
        """Once, before anything is asked, in the event loop that it is used in.

        Raises:
            SettingError: it can't generate as it is set up.
        """
        ...

    def generate(
        self, prompt: Prompt, sampling: Sampling, max_tokens: int, request_id: str = ""
    ) -> AsyncIterator[int | Read]:
        """Token ids as they come, at most ``max_tokens``; one that ends the answer is the last, but with
        ``sampling.ignore_eos``. Where an answer ends before, it has ended. And once, wherever among them, that the
        prompt has been read, from an engine that knows what it had cached of it.

        Closing the iterator stops the work. ``sampling.stop`` is not the engine's: who reads the text closes.
        ``request_id`` is what the request is called in logs.
        """
        ...

    def check_health(self) -> None:
        """Raises if the engine can't generate any more."""
        ...
