"""What Ray Serve's router knows a request by: its image, so that all about one image meet in one replica."""

from __future__ import annotations

import asyncio
import hashlib

from google.protobuf.message import Message

from heroserve.v1.encoder_pb2 import EncodeRequest

# Ray Serve's own name for it, in a request's metadata.
SESSION = "session_id"
# Hashed on the proxy's loop it would keep others waiting.
_LARGE_BYTES = 1 << 18
_DIGITS = 64


async def session_of(request: Message) -> str:
    """The SHA-256 of the request's image, whether its bytes were sent or its digest; empty without one."""
    if not isinstance(request, EncodeRequest):
        return ""
    data = request.image.data
    if not data:
        # Anything else is refused by the replica, and travels as far as that.
        return request.image.digest if len(request.image.digest) == _DIGITS else ""
    return await asyncio.to_thread(_digest, data) if len(data) > _LARGE_BYTES else _digest(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
