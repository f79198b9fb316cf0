"""What a failed attempt says of the service: whether it was there at all, and when it wants to be asked again."""

from __future__ import annotations

import math
from typing import Any

import grpc

from heroserve import ray_serve
from heroserve.retry import Setback

# How this client begins, of a call that nobody took up.
_NOBODY = "nobody answers at "
# How gRPC, now and in its earlier versions, begins where it has no connection to send a call over; and what ingresses
# say that have none. A service's words about one that it needs begin otherwise.
_NO_CONNECTION = (
    _NOBODY,
    "connections to all backends failing",
    "failed to connect to all addresses",
    "errors resolving ",
    "DNS resolution failed",
    "empty address list",
    "no healthy upstream",
    "upstream connect error",
    "Received http2 header with status: 50",
)
# Somebody is there, who speaks something else. That does not pass.
_NOT_GRPC = ("handshake failed", "http1.x server")
# gRPC's own name for the hint.
_PUSHBACK = "grpc-retry-pushback-ms"


def setback_of(code: grpc.StatusCode, details: str) -> Setback | None:
    """Why the attempt is worth another one; None if it is not."""
    if reason := ray_serve.unavailable(code, details):
        return "absent" if ray_serve.is_starting(reason) else "away"
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return "busy"
    if code is grpc.StatusCode.CANCELLED and (details in ("", code.name) or "RST_STREAM" in details):
        # Nobody's words: a server that is stopped lets go of what still runs. Whoever cancels here has gRPC's own.
        return "away"
    if code is not grpc.StatusCode.UNAVAILABLE:
        return None
    connected = not details.startswith(_NO_CONNECTION) or any(words in details.lower() for words in _NOT_GRPC)
    return "away" if connected else "absent"


def nobody(place: str, details: str) -> str:
    """What a client says where nobody has taken a call up: `place`, and gRPC's last reason."""
    return f"{_NOBODY}{place}: {reason(details)}"


def reason(details: str) -> str:
    """gRPC's own, without what it says before, nor we."""
    if details.startswith(_NOBODY):
        details = details.partition(": ")[2]
    return details.rpartition("last error: ")[2].rpartition("UNKNOWN: ")[2]


def hint_s(failure: grpc.RpcError) -> float | None:
    """When the service wants the call again, in seconds; less than 0 for never, None if it did not say."""
    # The two clients' gRPCs have two types for it, both of pairs; the stubs know of neither.
    metadata: Any = failure.trailing_metadata() or ()
    for name, value in metadata:
        if name == _PUSHBACK:
            try:
                seconds = int(value) / 1000
            except ValueError:
                seconds = -math.inf  # so it is specified
            return seconds
    return None
