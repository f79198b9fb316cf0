"""What HTTP's client tells of a server, as a failure of ours."""

from __future__ import annotations

import asyncio

import aiohttp

from services.common.shown import first_line
from services.llm.engines.remote.failure import Failure, lost, set_up_wrong
from services.llm.engines.remote.status import of_status

# Of an error's page.
_PAGE_BYTES = 64 << 10


async def refused(url: str, response: aiohttp.ClientResponse, size: int) -> Failure:
    """From a response that is no answer, to a request of ``size`` bytes."""
    return of_status(url, response.status, await read(response, _PAGE_BYTES), response.headers, size)


async def read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """A body, or its beginning."""
    body = b""
    while len(body) < most and (more := await response.content.read(most - len(body))):
        body += more
    return body


def trouble(url: str, error: Exception) -> Failure:
    """From what ended a connection."""
    match error:
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError() | aiohttp.InvalidURL():
            return lost(url, f"it can't be reached ({first_line(error)})", unsent=True)
        case asyncio.TimeoutError():
            return lost(url, "it has said nothing for too long (HEROSERVE_VLLM_TIMEOUT_S)")
        case ValueError():
            return set_up_wrong(url, f"it answers what can't be read ({first_line(error)})")
    return lost(url, f"the connection broke ({first_line(error)})")
