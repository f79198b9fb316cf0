"""A request's body over HTTP: read whole, within a length and a time, before a replica hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from heroserve import MAX_MESSAGE_BYTES
from services.common.errors import DeadlineExceeded
from services.common.http_call import TIMEOUT, HttpError
from services.common.shown import shown

if TYPE_CHECKING:
    from starlette.types import Message, Receive

# Base64 of what a message holds, and the rest of the request.
MAX_BODY_BYTES = MAX_MESSAGE_BYTES // 3 * 4 + (1 << 20)
# Until it is there.
BODY_S = 120.0
# How a body may come: as it is, in pieces of any length.
_PLAIN = {"", "identity", "chunked"}


async def read(receive: Receive, patience_s: float) -> bytes | None:
    """A request's body; None if its caller went away.

    Raises:
        HttpError: it is too long, or takes too long.
        DeadlineExceeded: it takes longer than its caller waits for the answer.
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
        if patience_s < BODY_S:
            raise DeadlineExceeded(f"the deadline has passed ({TIMEOUT}): {problem}") from None
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


def check_plain(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """That nothing has to be unpacked: a small body might become one of any size.

    Args:
        headers: of the request, by names in lower case.

    Raises:
        HttpError: the body is said to be packed.
    """
    for name, value in headers:
        if name in (b"content-encoding", b"transfer-encoding"):
            packed = [each.strip() for each in value.decode("latin-1").split(",") if each.strip().lower() not in _PLAIN]
            if packed:
                problem = f"is {shown(', '.join(packed))}, and no body is unpacked here; send it as it is, without that"
                raise HttpError(415, "unsupported_encoding", name.decode(), problem, accept_encoding="identity")


def _too_large(size: int) -> HttpError:
    return HttpError(
        413, "request_too_large", "", f"the request's body has {size} bytes or more; the limit is {MAX_BODY_BYTES}"
    )
