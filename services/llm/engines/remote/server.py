"""One server: what it serves, how it is, and answers of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import aiohttp

from services.llm.engines.remote.agreement import Example, Terms, another_checkpoint, difference
from services.llm.engines.remote.connection import Connection
from services.llm.engines.remote.events import Event
from services.llm.engines.remote.failure import Failure, another, another_one, lost, set_up_wrong, untold
from services.llm.served_template import ASKED

_MODELS, _HEALTH = "/v1/models", "/health"

logger = logging.getLogger(__name__)


class Server:
    """A vLLM.

    Args:
        url: its base URL.
        session: to ask it by.
        timeouts: of its answers.

    Attributes:
        model: what it calls what it serves; "" until it has been asked.
        context_length: its limit of tokens; None until it has told.
        failure: why it is sent nothing now; None while it is.
        doubted: what it serves is to be asked again.
        under_way: requests that it has.
        heard: of an answer last, by time.monotonic().
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, timeouts: aiohttp.ClientTimeout) -> None:
        self.url = url
        self._connection = Connection(url, session, timeouts)
        self.model = ""
        self.context_length: int | None = None
        self.failure: Failure | None = lost(url, "it has not been asked yet")
        self.doubted = True
        self._warned = False
        self.under_way = 0
        self.heard = 0.0

    async def agree(self, terms: Terms) -> None:
        """Ask what it serves, and whether it makes our prompts.

        Raises:
            Failure: it does not answer, or not as the checkpoint would.
        """
        await self._ask_model()
        for example in terms.examples:
            given = await self._prompt(example.messages)
            differs = difference(example.prompt, given, terms.tokenizer)
            if differs is not None:
                raise another(self.url, differs)
            # vLLM wants embeddings placed, if there are any.
            if terms.checkpoint and not example.prompt.images:
                await self._agree_on_weights(example, given, terms)
        self.doubted = False

    async def _agree_on_weights(self, example: Example, usual: Sequence[int], terms: Terms) -> None:
        given = await self._prompt(example.messages, chat_template_kwargs={ASKED: True})
        if list(given) == list(usual):
            # A template of other origin.
            if not self._warned:
                self._warned = True
                logger.warning(
                    "vLLM at %s does not tell which checkpoint its language model is of, and is trusted; what "
                    "`python -m services.llm.export` writes tells",
                    self.url,
                )
        elif told := another_checkpoint(given, terms):
            raise another_one(self.url, told, terms.checkpoint)

    async def _prompt(self, messages: list[dict[str, Any]], **fields: Any) -> Sequence[int]:
        """Token ids that it makes of a conversation."""
        body = {"messages": messages, "max_tokens": 1, "temperature": 0, **fields}
        given: Sequence[int] | None = None
        async with aclosing(self.answer(body, {})) as answer:  # type: ignore[type-var]
            async for event in answer:
                given = event.prompt if given is None else given
        if given is None:
            raise untold(self.url)
        return given

    async def check(self) -> None:
        """Raises:
        Failure: it says that it is not well, or nothing.
        """
        await self._connection.get(_HEALTH)

    async def answer(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncIterator[Event]:
        """As the connection's, of what it serves."""
        answer = self._connection.answer({"model": self.model, **body}, headers)
        async with aclosing(answer):  # type: ignore[type-var]
            async for event in answer:
                self.heard = time.monotonic()
                yield event

    async def _ask_model(self) -> None:
        told = await self._connection.get(_MODELS)
        try:
            models = json.loads(told)
            # Adapters of it have a parent.
            (first, *_) = [model for model in models["data"] if not model.get("parent")]
            self.model, self.context_length = str(first["id"]), int(first["max_model_len"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise set_up_wrong(self.url, "it does not tell of a model as vLLM does") from error
