"""gRPC over HTTP/2 by hand: what gRPC's own client would not send goes out too."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from hpack import NeverIndexedHeaderTuple

Header = tuple[bytes, bytes]


@dataclass
class Reply:
    """What came back.

    Args:
        status: gRPC's number; None where the connection or the stream ended without one.
        details: in words.
        silent_s: the longest time in which nothing came.
    """

    status: int | None = None
    details: str = ""
    silent_s: float = 0.0


class WireCaller:
    """One connection, one call at a time; it connects again when the other end hangs up."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._http = H2Connection()

    async def call(
        self, path: str, headers: Sequence[Header], message: bytes, timeout_s: float, *, compressed: bool = False
    ) -> Reply:
        """Send a request with exactly these headers, beside those of every gRPC call.

        Raises:
            TimeoutError: nothing at all came for so long.
        """
        body = struct.pack(">?I", compressed, len(message)) + message
        old = self._streams is not None
        reply = await self._attempt(path, headers, body, timeout_s)
        if reply.status is None and old:
            # Connections end at an age, and whoever has one makes another.
            reply = await self._attempt(path, headers, body, timeout_s)
        return reply

    async def _attempt(self, path: str, headers: Sequence[Header], body: bytes, timeout_s: float) -> Reply:
        reply, self._heard = Reply(), time.monotonic()
        try:
            await self._send(path, headers, body, reply, timeout_s)
            while not self._over:
                await self._hear(reply, timeout_s)
        except (OSError, ProtocolError) as error:
            if isinstance(error, TimeoutError):
                raise
            reply.details = reply.details or f"{type(error).__name__}: {error}"
            self.close()
        return reply

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("localhost", self._port)
            self._http = H2Connection(
                H2Configuration(
                    header_encoding=None,
                    validate_outbound_headers=False,
                    normalize_outbound_headers=False,
                    validate_inbound_headers=False,
                )
            )
            self._http.initiate_connection()
        return self._streams

    async def _send(self, path: str, headers: Sequence[Header], body: bytes, reply: Reply, timeout_s: float) -> None:
        await self._connected()
        self._over = False
        stream = self._stream = self._http.get_next_available_stream_id()
        always = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ]
        # Not by index: of one that it could not read gRPC makes another table than we have.
        self._http.send_headers(stream, [NeverIndexedHeaderTuple(*header) for header in (*always, *headers)])
        while body and not self._over:
            room = min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)
            if room:
                self._http.send_data(stream, body[:room], end_stream=len(body) <= room)
                body = body[room:]
                await self._flush()
            else:
                await self._flush()
                await self._hear(reply, timeout_s)

    async def _hear(self, reply: Reply, timeout_s: float) -> None:
        reader, _ = await self._connected()
        data = await asyncio.wait_for(reader.read(1 << 16), timeout_s)
        now = time.monotonic()
        reply.silent_s, self._heard = max(reply.silent_s, now - self._heard), now
        if not data:
            raise ConnectionResetError("the service hung up")
        for event in self._http.receive_data(data):
            self._take(event, reply)
        await self._flush()

    def _take(self, event: Event, reply: Reply) -> None:
        match event:
            case DataReceived():
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case ResponseReceived() | TrailersReceived():
                said = dict(event.headers or ())
                if b"grpc-status" in said:
                    reply.status = int(said[b"grpc-status"])
                    reply.details = unquote(said.get(b"grpc-message", b"").decode("latin-1"))
            case StreamEnded():
                self._over = self._over or event.stream_id == self._stream
            case StreamReset():
                # After an answer it says that the rest of the question is not wanted.
                self._over = True
                reply.details = reply.details or f"stream reset, {event.error_code!r}"
            case ConnectionTerminated():
                if not self._over:
                    reply.details = reply.details or f"connection ended, {event.error_code!r}"
                    raise ConnectionResetError(reply.details)
                self.close()

    async def _flush(self) -> None:
        _, writer = await self._connected()
        writer.write(self._http.data_to_send())
        await writer.drain()
