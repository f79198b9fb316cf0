"""Carries out what `Rotation` decides, over gRPC's asyncio channels."""

from __future__ import annotations

import asyncio
import time

import grpc

from heroserve.transport.channel import open_async_channel
from heroserve.transport.rotation import Loan, Rotation


class AsyncChannels:
    """The channels of an asyncio connection; belong to one event loop."""

    def __init__(self, target: str, tls: bool | grpc.ChannelCredentials, max_age_s: float) -> None:
        self._target = target
        self._tls = tls
        self._rotation: Rotation[grpc.aio.Channel] = Rotation(max_age_s)
        self._connecting: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def closed(self) -> bool:
        return self._rotation.closed

    def borrow(self) -> Loan[grpc.aio.Channel]:
        """The channel for one call, connecting or connected. Raises RuntimeError after `close`."""
        if self._rotation.wants_another(time.monotonic()):
            channel = open_async_channel(self._target, self._tls)
            if self._rotation.add(channel, time.monotonic()):
                self._connecting = asyncio.get_running_loop().create_task(self._connect(channel))
        return self._rotation.borrow(self._release)

    async def close(self) -> None:
        """Cancel what runs and disconnect."""
        channels, successor = self._rotation.close()
        if successor is not None and self._connecting is not None:
            self._connecting.cancel()
            channels.append(successor)
        for channel in channels:
            self._discard(channel)
        await asyncio.gather(*self._closing)

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        await channel.channel_ready()
        self._discard(self._rotation.connected(channel, time.monotonic()))

    def _release(self, loan: Loan[grpc.aio.Channel]) -> None:
        self._discard(self._rotation.released(loan))

    def _discard(self, channel: grpc.aio.Channel | None) -> None:
        if channel is not None:
            closing = asyncio.get_running_loop().create_task(channel.close(None))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
