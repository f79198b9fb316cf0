"""The engine whose language model is in a stock vLLM beside: this process has none of its weights."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import aiohttp

from services.common.errors import Unavailable
from services.common.settings import SettingError
from services.common.shown import assigned
from services.llm.assemble import Prompt
from services.llm.cost import PromptCost
from services.llm.engines.engine import Read
from services.llm.engines.remote.agreement import difference
from services.llm.engines.remote.failure import Failure, another, untold
from services.llm.engines.remote.preference import key_of
from services.llm.engines.remote.requests import Requests, headers
from services.llm.engines.remote.server import Server
from services.llm.engines.remote.servers import Servers
from services.llm.engines.remote.urls import VARIABLE
from services.llm.job import Sampling
from services.llm.refusal import Refusal, Role

# Servers that a request is sent to, where it might be what ends them.
_TRIES = 2

logger = logging.getLogger(__name__)


class RemoteEngine:
    """An ``Engine``: prompts are made and read elsewhere, from their texts and their images' embeddings.

    Args:
        servers: where.
        session: by which they are asked; closed with it.
        requests: makes what they are sent.
        tokenizer: the checkpoint's.
        context_length: of the checkpoint; a server's may be lower.
        cost: of a token.
        slots: requests that all servers together are sent at once.
    """

    takes_position_ids = False
    takes_json_schema = True

    def __init__(
        self,
        *,
        servers: Servers,
        session: aiohttp.ClientSession,
        requests: Requests,
        tokenizer: Any,
        context_length: int,
        cost: PromptCost,
        slots: int,
    ) -> None:
        self._servers = servers
        self._session = session
        self._requests = requests
        self._tokenizer = tokenizer
        self.end_tokens = requests.end_tokens
        self._context_length = context_length
        self.cost = cost
        self.slots = slots

    @property
    def context_length(self) -> int:
        """The lowest, so that any server can answer what another could."""
        told = (server.context_length for server in self._servers.all.values())
        return min([self._context_length, *(length for length in told if length is not None)])

    @property
    def waiting(self) -> int:
        return self._servers.waiting

    async def begin(self) -> None:
        """Raises:
        SettingError: no server is as it should be, and that will not pass.
        """
        await self._servers.begin()
        failure = self._servers.failure
        if failure is None:
            return
        if not failure.passes:
            urls = ",".join(self._servers.all)
            await self.close()
            raise SettingError(f"{assigned(VARIABLE, urls)}: {failure}")
        logger.warning("no vLLM answers yet; questions are refused until one does: %s", failure)

    @property
    def problem(self) -> str | None:
        failure = self._servers.failure
        return None if failure is None else failure.public

    def check_health(self) -> None:
        """Another replica would have the same servers: ``problem`` tells of them."""

    async def close(self) -> None:
        await self._servers.close()
        await self._session.close()

    async def generate(
        self, prompt: Prompt, sampling: Sampling, max_tokens: int, request_id: str = ""
    ) -> AsyncIterator[int | Read]:
        body = await asyncio.to_thread(self._requests.body, prompt, sampling, max_tokens)
        key = await asyncio.to_thread(key_of, prompt.turns)
        tried: list[Server] = []
        sent, failure = 0, None
        while sent < _TRIES:
            async with self._servers.one(key, tried) as server:
                if server is None:
                    failure = failure or self._servers.failure
                    break
                tried.append(server)
                begun = False
                try:
                    async with aclosing(self._tokens(server, prompt, body, request_id)) as tokens:  # type: ignore[type-var]
                        async for token in tokens:
                            if not begun:
                                begun = True
                                # Megabytes, which nobody is sent again.
                                body.clear()
                            yield token
                except Failure as caught:
                    failure = caught
                    if failure.refused and sampling.json_schema is not None:
                        raise Refusal(Role("json_schema"), f"can't be generated for: {failure.refused}") from failure
                    await self._servers.doubt(server, failure)
                    if begun or failure.refused:
                        break
                    sent += not failure.unsent
                else:
                    return
        # All of them have come back since.
        error = Unavailable("vLLM was out of reach; try again") if failure is None else failure.error
        # One of a server's is told to all who ask meanwhile.
        raise error.with_traceback(None) from failure

    async def _tokens(
        self, server: Server, prompt: Prompt, body: Mapping[str, Any], request_id: str
    ) -> AsyncIterator[int | Read]:
        agreed = False
        last: Sequence[int] = ()
        async with aclosing(server.answer(body, headers(request_id))) as answer:  # type: ignore[type-var]
            async for event in answer:
                if event.prompt is not None:
                    agreed = True
                    differs = difference(prompt, event.prompt, self._tokenizer)
                    if differs is not None:
                        raise another(server.url, differs)
                if event.cached is not None:
                    yield Read(cached_tokens=event.cached)
                if event.tokens and not agreed:
                    raise untold(server.url)
                if event.ended:
                    # What else it has to tell comes behind it.
                    last = event.tokens
                    continue
                for token in event.tokens:
                    yield token
        for token in last:
            yield token
