"""HTTP to one server."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from services.llm.engines.remote.events import Event, events
from services.llm.engines.remote.trouble import read, refused, trouble

_CHAT = "/v1/chat/completions"
_ALWAYS = {"stream": True, "stream_options": {"include_usage": True}, "return_token_ids": True}
_ASK_S = 10.0
# Of a line of a stream: the first has the prompt's token ids. And of what is asked beside.
_LINE_BYTES = 8 << 20


class Connection:
    """Args:
    url: its base URL.
    session: to ask it by.
    timeouts: of its answers.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, timeouts: aiohttp.ClientTimeout) -> None:
        self.url = url
        self._session = session
        self._timeouts = timeouts

    async def answer(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> AsyncIterator[Event]:
        """Send a request. Closing the iterator closes the connection, and so ends the work that the server has of it.

        Args:
            body: of it, but for what is the same in all.
            headers: of it.

        Raises:
            Failure: there is no answer, or no whole one.
        """
        payload = await asyncio.to_thread(_dumped, {**body, **_ALWAYS})
        size = payload.getbuffer().nbytes
        sent = {**headers, "Content-Type": "application/json"}
        request = self._session.post(
            self.url + _CHAT,
            data=payload,
            headers=sent,
            timeout=self._timeouts,
            allow_redirects=False,
            read_bufsize=_LINE_BYTES,
        )
        try:
            async with request as response:
                try:
                    if response.status != 200:
                        raise await refused(self.url, response, size)
                    # Megabytes, which it has read.
                    payload.close()
                    async for event in events(self.url, response.content):
                        yield event
                finally:
                    # While it is open the server works for it.
                    if not response.content.at_eof():
                        response.close()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            raise trouble(self.url, error) from error

    async def get(self, path: str) -> bytes:
        """What it says of itself.

        Raises:
            Failure: nothing, or that it is not well.
        """
        timeout = aiohttp.ClientTimeout(total=_ASK_S)
        try:
            async with self._session.get(self.url + path, timeout=timeout, allow_redirects=False) as response:
                if response.status != 200:
                    raise await refused(self.url, response, 0)
                return await read(response, _LINE_BYTES)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
            raise trouble(self.url, error) from error


def _dumped(body: dict[str, Any]) -> io.BytesIO:
    return io.BytesIO(json.dumps(body).encode())
