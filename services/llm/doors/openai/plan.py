"""``/v1/heroserve/plan``: what a chat completion would read, and which pixels of its images; nothing is generated."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from services.common.http_call import HttpCall
from services.llm.answer import Forecast
from services.llm.doors import explained
from services.llm.doors.openai import answer
from services.llm.doors.openai.completion import Door
from services.llm.doors.openai.exchange import Exchange

if TYPE_CHECKING:
    from starlette.types import Send


class Plan(Exchange):
    """See ``Exchange``. It takes a completion's body, and refuses what that would be refused for.

    Args:
        door: of the replica.
        call: the request.
        data: its body.
    """

    def __init__(self, door: Door, call: HttpCall, data: bytes) -> None:
        super().__init__(call, door.timeout_s)
        self._door = door
        self._data = data

    async def answer(self, send: Send) -> None:
        door = self._door
        with door.gate.guard(self._call) as serving:
            asked = await door.read(self._data)
            # No work for the engine: an upload's line, and not a completion's.
            async with door.uploads.turn(serving, self._call.bytes_in):
                with asked.words.telling():
                    forecast = await door.chat.plan(await door.job(asked))
            told = await asyncio.to_thread(_told, door.model, forecast)
            await self._begin(send, b"application/json")
            await self._send(send, told, more=False)


def _told(model: str, forecast: Forecast) -> bytes:
    usage = answer.usage(forecast.usage, forecast).model_dump(exclude_unset=True)
    plan = {
        "object": "heroserve.plan",
        "model": model,
        "usage": usage,
        "heroserve": {
            "explanations": [explained.as_json(each) for each in forecast.explanations],
            "drawings": [explained.drawing(each) for each in forecast.explanations],
        },
    }
    return json.dumps(plan, separators=(",", ":")).encode()
