"""An RPC's context as Serve is given it."""

from __future__ import annotations

import re
from typing import Any

import grpc

from services.common.errors import NO_ROOM

# How Serve tells that a replica has no such method: in the replica's own words, or where the proxy asked it by gRPC by
# an answer that came before it was taken up, as no other does. Then that too many wait for one, that it died, with its
# pid and address, and what tracebacks have in common.
_NO_METHOD = re.compile(r"Tried to call a method '\w+' that does not exist|Unexpected error \(StatusCode\.OK\)")
_BACKPRESSURE = "Request dropped due to backpressure"
_REPLICA_DIED = "The actor "
_INSIDES = "Traceback (most recent call last)"


class CallContext:
    """gRPC's context of an RPC, with other metadata than it came with, and statuses that say nothing of our insides.

    Args:
        context: gRPC's.
        metadata: in place of what the caller sent.

    Attributes:
        turned_away: Serve itself had no room for it.
    """

    def __init__(self, context: Any, metadata: list[tuple[str, Any]]) -> None:
        self.turned_away = False
        self._context = context
        self._metadata = tuple(metadata)
        self._peer: str = context.peer()

    def invocation_metadata(self) -> tuple[tuple[str, Any], ...]:
        return self._metadata

    def peer(self) -> str:
        """Who called. Serve asks last of all, when a caller that went away has taken the means to answer with it."""
        return self._peer

    def set_details(self, details: str) -> None:
        """What Serve says of a failure that no gate has seen: for callers, not for who keeps the service."""
        if _NO_METHOD.search(details):
            self._context.set_code(grpc.StatusCode.UNIMPLEMENTED)
            details = "not served here"
        elif details.startswith(_BACKPRESSURE):
            self.turned_away = True
            details = NO_ROOM
        elif details.startswith(_REPLICA_DIED):
            # INTERNAL, says Serve, but the next try finds another replica.
            self._context.set_code(grpc.StatusCode.UNAVAILABLE)
            details = "a replica died while it served this; try again"
        elif _INSIDES in details:
            details = "internal error; the service's log has the details"
        self._context.set_details(details)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
