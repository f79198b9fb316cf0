"""Callers of many kinds at once: what a week brings, in minutes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import openai

import heroserve
from benchmarks.faults.traffic import renamed
from benchmarks.load.questions import Known
from heroserve.errors import HeroserveError
from scripts.stack import Ports

_RETENTIONS = (0.05, 0.1, 0.2, 0.2, 0.2, 0.4, 1.0)
_NEW_SHARE = 0.35
_DEADLINE_S = 20.0
_TURNS = 3
# Most answers of the bundled model are of one character or two.
_LONGEST = (1, 16, 16, 16)
_LONG = 200


class Callers:
    """Each kind at its own rate, the times of a Poisson process, whatever becomes of those before.

    Args:
        ports: of the stack.
        known: what is asked about; pictures that are new are those under a digest that nobody has seen.
    """

    def __init__(self, ports: Ports, known: Sequence[Known]) -> None:
        self._ports = ports
        self._known = known
        self._draw = random.Random(0)  # noqa: S311
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Until it is left, and all that was asked has ended."""
        kinds: dict[Callable[[], Awaitable[object]], float] = {
            self._asks: 0.45,
            self._asks_by_http: 1.2,
            self._encodes: 4,
            self._converses: 6,
            self._leaves: 9,
            self._errs: 12,
            self._errs_by_http: 15,
        }
        target, encoder = f"localhost:{self._ports.llm}", f"localhost:{self._ports.encoder}"
        url = f"http://localhost:{self._ports.llm_http}/v1"
        async with (
            heroserve.AsyncClient(target, encoder_target=encoder, timeout_s=_DEADLINE_S) as self._client,
            openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=_DEADLINE_S) as self._openai,
        ):
            flows = [asyncio.create_task(self._flow(*kind)) for kind in kinds.items()]
            try:
                yield
            finally:
                for flow in flows:
                    flow.cancel()
                await asyncio.gather(*flows, return_exceptions=True)
                await asyncio.gather(*self._tasks)

    async def _flow(self, ask: Callable[[], Awaitable[object]], mean_s: float) -> None:
        while True:
            await asyncio.sleep(self._draw.expovariate(1 / mean_s))
            task = asyncio.create_task(self._one(ask))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, ask: Callable[[], Awaitable[object]]) -> None:
        # That some fail is what the pictures shall show.
        with contextlib.suppress(HeroserveError, openai.OpenAIError):
            await ask()

    def _pick(self) -> tuple[bytes, str, float]:
        """A picture, a question about it and a retention."""
        known = self._draw.choice(self._known)
        new = self._draw.random() < _NEW_SHARE
        image = renamed(known.image, self._draw.getrandbits(60)) if new else known.image
        return image, known.question, self._draw.choice(_RETENTIONS)

    async def _asks(self) -> None:
        image, question, retention = self._pick()
        explain = self._draw.random() < 0.1
        longest = self._draw.choice(_LONGEST)
        await self._client.ask(image, question, retention=retention, max_tokens=longest, explain=explain)

    async def _asks_by_http(self) -> None:
        image, question, retention = self._pick()
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        stream = await self._openai.chat.completions.create(
            model="",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": url}},
                        {"type": "text", "text": question},
                    ],
                }
            ],
            max_completion_tokens=16,
            stream=True,
            extra_body={"heroserve": {"retention": retention}},
        )
        async for _ in stream:
            pass

    async def _encodes(self) -> None:
        image, question, retention = self._pick()
        await self._client.encode(image, question, explain=True, retention=retention)

    async def _converses(self) -> None:
        image, question, retention = self._pick()
        messages = [heroserve.user(question, image)]
        for turn in range(_TURNS):
            request = heroserve.generate_request(messages, retention=retention, max_tokens=16)
            answer = await self._client.generate(request).read()
            messages += [heroserve.assistant(answer.text), heroserve.user(f"And besides, for the {turn + 2}nd time?")]

    async def _leaves(self) -> None:
        """In the middle of a long answer."""
        seed = self._draw.getrandbits(30)
        async with self._client.stream(None, "Go on", max_tokens=_LONG, temperature=2.0, seed=seed) as stream:
            async for _ in stream:
                await asyncio.sleep(0.2)
                return

    async def _errs(self) -> None:
        await self._client.ask(b"no image", "What is it?")

    async def _errs_by_http(self) -> None:
        await self._openai.chat.completions.create(model="", messages=[], temperature=9)
