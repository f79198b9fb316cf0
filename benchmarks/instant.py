"""An engine that takes no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.llm.assemble import Prompt
from services.llm.cost import PromptCost
from services.llm.engines.engine import Read
from services.llm.job import Sampling


class Instant:
    """An ``Engine``: what is left is the heart's, and the benchmark's."""

    context_length = 4096
    end_tokens = frozenset({1})
    cost = PromptCost(0, 0, 0, 0)
    slots = 128
    waiting = 0
    takes_position_ids = takes_json_schema = False
    problem = None

    async def begin(self) -> None:
        """It is."""

    async def generate(
        self, prompt: Prompt, sampling: Sampling, max_tokens: int, request_id: str = ""
    ) -> AsyncIterator[int | Read]:
        for token in range(max_tokens):
            await asyncio.sleep(0)
            yield 100 + token

    def check_health(self) -> None:
        """It is well."""
