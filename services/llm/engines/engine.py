"""What every engine does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from services.llm.assemble import Prompt
from services.llm.request import Sampling


class Engine(Protocol):
    """Generates tokens, for many requests at once."""

    def generate(self, prompt: Prompt, sampling: Sampling, max_tokens: int) -> AsyncIterator[int]:
        """Token ids as they come, at most ``max_tokens``; one that ends the answer is the last.

        Closing the iterator stops the work. ``sampling.stop`` is not the engine's: who reads the text closes.
        """
        ...

    def check_health(self) -> None:
        """Raises if the engine can't generate any more."""
        ...
