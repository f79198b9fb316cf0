"""A request's body over HTTP: read whole, within a length and a time, before a replica hears of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from heroserve import MAX_MESSAGE_BYTES
from services.common.http_call import HttpError

if TYPE_CHECKING:
    from starlette.types import Message, Receive

# Base64 of what a message holds, and the rest of the request.
MAX_BODY_BYTES = MAX_MESSAGE_BYTES // 3 * 4 + (1 << 20)
# Until it is there.
BODY_S = 120.0


async def read(receive: Receive, patience_s: float) -> bytes | None:
    """A request's body; None if its caller went away.

    Raises:
        HttpError: it is too long, or takes too long.
    """
    body, longest_s = bytearray(), min(patience_s, BODY_S)

    async def collect() -> bool:
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return False
            body.extend(message.get("body", b""))
            if len(body) > MAX_BODY_BYTES:
                raise _too_large(len(body))
            more = message.get("more_body", False)
        return True

    try:
        whole = await asyncio.wait_for(collect(), longest_s)
    except asyncio.TimeoutError:
        problem = f"the request's body has not come within {longest_s:g} s, only {len(body)} bytes of it"
        raise HttpError(408, "request_timeout", "", problem) from None
    return bytes(body) if whole else None


def again(body: bytes, receive: Receive) -> Receive:
    """For who reads it next, and waits for its caller to go away."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return messages.pop() if messages else await receive()

    return read


def check_length(said: str) -> None:
    """By what its header says, if anything.

    Raises:
        HttpError: it is too long.
    """
    if said.isascii() and said.isdigit() and len(said) < 20 and int(said) > MAX_BODY_BYTES:
        raise _too_large(int(said))


def _too_large(size: int) -> HttpError:
    return HttpError(
        413, "request_too_large", "", f"the request's body has {size} bytes or more; the limit is {MAX_BODY_BYTES}"
    )
