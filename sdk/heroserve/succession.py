"""The channels of a connection, one after another, so that a long-lived client finds new addresses."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Generic, TypeVar

import grpc

from heroserve.channel import open_async_channel, open_channel

Channel = TypeVar("Channel")


class Lease(Generic[Channel]):
    """Keeps a channel open for one call, until released."""

    def __init__(self, channel: Channel, release: Callable[[Lease[Channel]], None]) -> None:
        self.channel = channel
        self._release = release

    def release(self) -> None:
        """The call is over. Harmless a second time."""
        self._release(self)

    def __enter__(self) -> Lease[Channel]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Succession(ABC, Generic[Channel]):
    """Opens a channel for the first call, and another for the first call after `max_age_s`.

    gRPC looks a name up for a new channel, and then only when a connection ends. The new channel takes over once
    it is connected; until then, and while a name server or the new addresses are dead, calls go by the old one
    as if nothing were. The old one is closed when its last call ends. Thread-safe.
    """

    def __init__(self, target: str, tls: bool | grpc.ChannelCredentials, max_age_s: float) -> None:
        self._target = target
        self._tls = tls
        self._max_age_s = max_age_s
        # Reentrant: a successor may be connected before there was time to wait for it.
        self._lock = threading.RLock()
        self._leases: dict[Channel, set[Lease[Channel]]] = {}  # of every open channel
        self._current: Channel | None = None
        self._old_at = 0.0
        self._successor: Channel | None = None
        self._give_up: Callable[[], object] = lambda: None
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def lease(self) -> Lease[Channel]:
        """The channel for one call, connecting or connected. Raises RuntimeError after `close`."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            if self._current is None:
                self._current = self._opened()
                self._old_at = time.monotonic() + self._max_age_s
            elif self._successor is None and time.monotonic() >= self._old_at:
                self._successor = self._opened()
                self._give_up = self._when_connected(self._successor, partial(self._succeed, self._successor))
            lease = Lease(self._current, self._release)
            self._leases[self._current].add(lease)
            return lease

    def _end(self) -> list[Channel]:
        """No more leases; the channels to close, without the lock, for that may wait for calls to end."""
        with self._lock:
            self._closed = True
            if self._successor is not None:
                del self._leases[self._successor]
                self._successor = None
                self._give_up()
            channels = list(self._leases)
            self._leases.clear()
            return channels

    def _opened(self) -> Channel:
        channel = self._open()
        self._leases[channel] = set()
        return channel

    def _succeed(self, channel: Channel) -> None:
        with self._lock:
            if self._closed or self._current is None:
                return
            old, self._current, self._successor = self._current, channel, None
            self._old_at = time.monotonic() + self._max_age_s
            self._discard_unused(old)

    def _release(self, lease: Lease[Channel]) -> None:
        with self._lock:
            if lease.channel in self._leases:
                self._leases[lease.channel].discard(lease)
                self._discard_unused(lease.channel)

    def _discard_unused(self, channel: Channel) -> None:
        if channel is not self._current and not self._leases[channel]:
            del self._leases[channel]
            self._discard(channel)

    @abstractmethod
    def _open(self) -> Channel:
        """A new channel, not connecting yet."""

    @abstractmethod
    def _when_connected(self, channel: Channel, then: Callable[[], None]) -> Callable[[], object]:
        """Have the channel connect, and call `then` when it has; the result gives up, and closes it."""

    @abstractmethod
    def _discard(self, channel: Channel) -> None:
        """Close a channel without calls, some time soon."""


class Channels(Succession[grpc.Channel]):
    """Those of a synchronous connection."""

    def close(self) -> None:
        """Cancel what runs and disconnect."""
        for channel in self._end():
            channel.close()

    def _open(self) -> grpc.Channel:
        return open_channel(self._target, self._tls)

    def _when_connected(self, channel: grpc.Channel, then: Callable[[], None]) -> Callable[[], object]:
        ready = grpc.channel_ready_future(channel)
        ready.add_done_callback(lambda ready: None if ready.cancelled() else then())

        def give_up() -> None:
            ready.cancel()
            # gRPC's thread that watches a channel asks every 0.2 s whether it still has to, and prints a traceback
            # if it finds it closed before.
            closing = threading.Timer(1.0, channel.close)
            closing.daemon = True
            closing.start()

        return give_up

    def _discard(self, channel: grpc.Channel) -> None:
        # The end of a call is reported by the channel's own thread, and closing waits for that thread.
        threading.Thread(target=channel.close, name="heroserve-close", daemon=True).start()


class AsyncChannels(Succession[grpc.aio.Channel]):
    """Those of an asyncio connection; belong to one event loop."""

    def __init__(self, target: str, tls: bool | grpc.ChannelCredentials, max_age_s: float) -> None:
        super().__init__(target, tls, max_age_s)
        self._closing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Cancel what runs and disconnect."""
        for channel in self._end():
            self._discard(channel)
        await asyncio.gather(*self._closing)

    def _open(self) -> grpc.aio.Channel:
        return open_async_channel(self._target, self._tls)

    def _when_connected(self, channel: grpc.aio.Channel, then: Callable[[], None]) -> Callable[[], object]:
        ready = asyncio.get_running_loop().create_task(channel.channel_ready())
        ready.add_done_callback(lambda ready: None if ready.cancelled() or ready.exception() else then())

        def give_up() -> None:
            ready.cancel()
            self._discard(channel)

        return give_up

    def _discard(self, channel: grpc.aio.Channel) -> None:
        closing = asyncio.get_running_loop().create_task(channel.close(None))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
