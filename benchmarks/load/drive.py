"""Drives a service with questions, in a closed loop or at a rate that does not wait for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

import heroserve
from benchmarks.load.questions import OPTIONS, Known
from heroserve import methods
from heroserve.errors import HeroserveError
from heroserve.v1.chat_pb2 import GenerateResponse


@dataclass
class Outcome:
    """What became of the questions of one run.

    Args:
        seconds: that questions were sent for.
        latencies: of right answers that came in time, in seconds.
        wrong: answers with another text.
        failures: statuses of the others, by name.
    """

    seconds: float
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def offered(self) -> int:
        return len(self.latencies) + self.wrong + self.failures.total()

    @property
    def goodput(self) -> float:
        """Right answers in time, a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies) or [float("nan")]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Callers(Protocol):
    """How questions are asked."""

    async def answer(self, known: Known, deadline_s: float) -> str:
        """The answer's text.

        Raises:
            HeroserveError, grpc.RpcError: there is none.
        """
        ...


class SdkCallers:
    """As people ask who use the SDK as shipped, retries included."""

    def __init__(self, client: heroserve.AsyncClient) -> None:
        self._client = client

    async def answer(self, known: Known, deadline_s: float) -> str:
        answer = await self._client.ask(known.image, known.question, timeout_s=deadline_s, **OPTIONS)
        return answer.text


class PlainCallers:
    """Bytes made beforehand, once each: callers share the cores with what they ask, and shall take little of them."""

    def __init__(self, channel: grpc.aio.Channel, api_key: str = "") -> None:
        self._call: Any = channel.unary_stream(methods.GENERATE.path, None, GenerateResponse.FromString)
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()

    async def answer(self, known: Known, deadline_s: float) -> str:
        responses = self._call(known.request, timeout=deadline_s, metadata=self._metadata)
        return "".join([response.delta async for response in responses])


async def closed_loop(
    callers: Callers, known: Sequence[Known], width: int, seconds: float, deadline_s: float = 0
) -> Outcome:
    """``width`` callers, each with one question after the other, and as much time for it as all have, if not told."""
    outcome = Outcome(seconds)
    end = time.monotonic() + seconds

    async def caller(seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311
        while time.monotonic() < end:
            await _ask(callers, draw.choice(known), deadline_s or seconds, outcome)

    await asyncio.gather(*(caller(seed) for seed in range(width)))
    return outcome


async def open_loop(
    callers: Callers, known: Sequence[Known], rate: float, seconds: float, deadline_s: float, seed: int
) -> Outcome:
    """Questions at the times of a Poisson process with ``rate`` a second, whatever becomes of those before."""
    outcome = Outcome(seconds)
    draw = random.Random(seed)  # noqa: S311
    start = time.monotonic()
    due = 0.0
    async with asyncio.TaskGroup() as tasks:
        while (due := due + draw.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, start + due - time.monotonic()))
            tasks.create_task(_ask(callers, draw.choice(known), deadline_s, outcome))
    return outcome


async def _ask(callers: Callers, known: Known, deadline_s: float, outcome: Outcome) -> None:
    sent = time.monotonic()
    try:
        text = await callers.answer(known, deadline_s)
    except (HeroserveError, grpc.aio.AioRpcError) as error:
        code = error.code() if isinstance(error, grpc.aio.AioRpcError) else error.code
        outcome.failures[code.name if code else type(error).__name__] += 1
        return
    if text != known.answer:
        outcome.wrong += 1
        return
    outcome.latencies.append(time.monotonic() - sent)
