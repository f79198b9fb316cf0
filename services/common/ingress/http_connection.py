"""A connection to the HTTP port: what one that brings no request may cost.

uvicorn's has no bound of its own, and shares its event loop with gRPC: a header without an end is copied again with
each piece of it, and a connection that never asks anything stays.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a head, and of what comes between the pieces of a body or behind it. As many as h11 and most proxies take.
MAX_HEAD_BYTES = 64 << 10
# From the first byte of a head to its last, and from a connection's begin.
HEAD_S = 10.0
# For who reads nothing of an answer.
READ_S = 60.0
MAX_CONNECTIONS = 1000

_TOO_LARGE = f"request: more than {MAX_HEAD_BYTES} bytes that are no body; shorten its path or headers\n"
_REFUSAL = (
    "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    f"content-length: {len(_TOO_LARGE)}\r\nconnection: close\r\n\r\n{_TOO_LARGE}"
).encode()

# Those of this process that nobody answers now, the one that has waited longest first.
_waiting: dict[HttpConnection, None] = {}


class HttpConnection(HttpToolsProtocol):
    """uvicorn's, with an end for heads, for waiting and for connections. Bodies of any size go on as they come."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Bytes since a head ended, or a piece of a body came.
        self._loose = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _waiting[self] = None
        if len(self.connections) > MAX_CONNECTIONS:
            # Who asks something at once is answered at once: the one that has waited longest is the least likely to.
            next(iter(_waiting))._hang_up()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._loose += len(data)
        super().data_received(data)
        if self._loose > MAX_HEAD_BYTES:
            self._refuse()
        self._look()

    def on_headers_complete(self) -> None:
        self._loose = 0
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse()
            raise ValueError(_TOO_LARGE)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._loose = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._loose = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        # Of a head that was refused the parser complains as well.
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_answered() and not self.transport.is_closing():
            _waiting[self] = None

    def timeout_keep_alive_handler(self) -> None:
        self._hang_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_timer = self.loop.call_later(READ_S, self._hang_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._read_timer is not None:
            self._read_timer.cancel()

    def _is_answered(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _look(self) -> None:
        """Give it its time for a head, or take that away; whoever sends it in small pieces has no more."""
        if self._is_answered() or self.transport.is_closing() or self not in self.connections:
            self._stop_waiting()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._hang_up)

    def _refuse(self) -> None:
        if self._is_answered():
            self._hang_up()
        elif not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()

    def _hang_up(self) -> None:
        self._forget()
        self.connections.discard(self)
        self.transport.abort()

    def _stop_waiting(self) -> None:
        _waiting.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _forget(self) -> None:
        self._stop_waiting()
        if self._read_timer is not None:
            self._read_timer.cancel()
