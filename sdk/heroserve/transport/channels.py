"""Carries out what `Rotation` decides, over gRPC's synchronous channels."""

from __future__ import annotations

import threading
import time

import grpc

from heroserve.transport.channel import open_channel
from heroserve.transport.rotation import Loan, Rotation


class Channels:
    """The channels of a synchronous connection. Thread-safe."""

    def __init__(self, target: str, tls: bool | grpc.ChannelCredentials, max_age_s: float) -> None:
        self._target = target
        self._tls = tls
        self._rotation: Rotation[grpc.Channel] = Rotation(max_age_s)
        self._connecting: grpc.Future[None] | None = None
        # Reentrant: the garbage collector ends streams that were dropped, whatever their thread holds just then.
        self._lock = threading.RLock()

    def borrow(self) -> Loan[grpc.Channel]:
        """The channel for one call, connecting or connected. Raises RuntimeError after `close`."""
        with self._lock:
            if self._rotation.wants_another(time.monotonic()):
                channel = open_channel(self._target, self._tls)
                if self._rotation.add(channel, time.monotonic()):
                    self._connecting = grpc.channel_ready_future(channel)
                    self._connecting.add_done_callback(lambda _: self._connected(channel))
            return self._rotation.borrow(self._release)

    def close(self) -> None:
        """Cancel what runs and disconnect."""
        with self._lock:
            channels, successor = self._rotation.close()
        if successor is not None and self._connecting is not None:
            self._connecting.cancel()
            # gRPC's thread that watches a channel asks every 0.2 s whether it still has to, and prints a traceback
            # if it finds it closed before.
            _close_apart(successor, after_s=1.0)
        for channel in channels:  # without the lock, for this may wait for calls to end
            channel.close()

    def _release(self, loan: Loan[grpc.Channel]) -> None:
        with self._lock:
            unused = self._rotation.released(loan)
        if unused is not None:
            _close_apart(unused)

    def _connected(self, channel: grpc.Channel) -> None:
        with self._lock:
            unused = self._rotation.connected(channel, time.monotonic())
        if unused is not None:
            _close_apart(unused)


def _close_apart(channel: grpc.Channel, after_s: float = 0.0) -> None:
    """Close a channel without calls in a thread of its own.

    The end of a call is reported by the channel's own thread, and closing waits for that thread.
    """
    closing = threading.Timer(after_s, channel.close)
    closing.name = "heroserve-close"
    closing.daemon = True
    closing.start()
