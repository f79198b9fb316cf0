"""Questions at a steady rate, whatever becomes of those before, and what became of each."""

from __future__ import annotations

import asyncio
import random
import struct
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import heroserve
from benchmarks.load.questions import OPTIONS, Known
from heroserve.errors import HeroserveError

# What a client may be late by with what it says at a deadline.
GRACE_S = 2.0
# An answer within so many seconds is what callers are used to.
PROMPT_S = 2.0
_NEW_SHARE = 0.3
# Of a PNG: its signature and its first chunk, of 13 bytes.
_PNG_HEAD = 8 + 12 + 13


@dataclass
class Asked:
    """One question.

    Args:
        new: its picture was not cached.
        sent, ended: by ``time.monotonic()``; not ended is infinite.
        status: ``OK``, ``WRONG`` (answered, with another text), a gRPC status, ``HUNG`` (nothing at all, 2 s after its
            deadline), or ``LOST`` (ended without a status).
        details: of a failure.
    """

    new: bool
    sent: float
    ended: float = float("inf")
    status: str = ""
    details: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.sent

    @property
    def well(self) -> bool:
        """It was answered as if nothing had happened."""
        return self.status == "OK" and self.seconds < PROMPT_S


def renamed(png: bytes, number: int) -> bytes:
    """The same picture, under a digest that nobody has seen: a comment is put in."""
    body = b"tEXt" + b"number\0%d" % number
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_PNG_HEAD] + chunk + png[_PNG_HEAD:]


class Traffic:
    """Asks through the SDK as shipped, retries included.

    Args:
        target: of the LLM service.
        known: what is asked; three in ten about a picture that is new to the encoder.
        rate: questions a second, at the times of a Poisson process.
        deadline_s: of each.
        key: API key, if one is needed.
    """

    def __init__(
        self, target: str, known: Sequence[Known], rate: float, deadline_s: float, *, key: str | None = None
    ) -> None:
        self.asked: list[Asked] = []
        self._target = target
        self._known = known
        self._rate = rate
        self._deadline_s = deadline_s
        self._key = key
        self._draw = random.Random(0)  # noqa: S311
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Until it is left, and all that was asked has ended."""
        async with heroserve.AsyncClient(self._target, api_key=self._key) as self._client:
            asking = asyncio.create_task(self._ask_on())
            try:
                yield
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await asyncio.gather(*self._tasks)

    def burst(self, count: int) -> None:
        """So many more at once, while it flows."""
        for _ in range(count):
            self._begin()

    def since(self, moment: float) -> list[Asked]:
        return [asked for asked in self.asked if asked.sent >= moment]

    def is_well(self, seconds: float) -> bool:
        """Whether all questions of the last so many seconds that should have been answered were."""
        now = time.monotonic()
        recent = [a for a in self.since(now - seconds - PROMPT_S) if a.sent < now - PROMPT_S]
        return bool(recent) and all(asked.well for asked in recent)

    async def until_well(self, seconds: float, at_most_s: float) -> None:
        """Return when it has been well for so many seconds, or after ``at_most_s``."""
        end = time.monotonic() + at_most_s
        await asyncio.sleep(seconds + PROMPT_S)
        while not self.is_well(seconds) and time.monotonic() < end:  # noqa: ASYNC110 - time makes it so, nobody tells
            await asyncio.sleep(0.2)

    async def _ask_on(self) -> None:
        due = time.monotonic()
        while True:
            due += self._draw.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._begin()

    def _begin(self) -> None:
        task = asyncio.create_task(self._ask())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self) -> None:
        known = self._draw.choice(self._known)
        asked = Asked(self._draw.random() < _NEW_SHARE, time.monotonic())
        self.asked.append(asked)
        image = renamed(known.image, self._draw.getrandbits(60)) if asked.new else known.image
        answer = self._client.ask(image, known.question, timeout_s=self._deadline_s, **OPTIONS)
        try:
            text = (await asyncio.wait_for(answer, self._deadline_s + GRACE_S)).text
        except HeroserveError as error:
            asked.status, asked.details = error.code.name, str(error)
        except (TimeoutError, asyncio.TimeoutError):
            asked.status = "HUNG"
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            asked.status, asked.details = "LOST", f"{type(error).__name__}: {error}"
        else:
            asked.status = "OK" if text == known.answer else "WRONG"
            asked.details = "" if text == known.answer else f"{known.question} {text!r}, not {known.answer!r}"
        asked.ended = time.monotonic()
