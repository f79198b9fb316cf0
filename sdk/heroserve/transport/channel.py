"""How this client connects: long-lived channels that spread their calls over every address of a name."""

from __future__ import annotations

import json

import grpc

from heroserve.limits import MAX_MESSAGE_BYTES
from heroserve.target import address

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A channel outlives many calls: without this it would stay with the first server it met.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # gRPC shares connections between a process's channels, and with them the pause after another's failure: a new
    # client would start with UNAVAILABLE for a server that is up.
    ("grpc.use_local_subchannel_pool", 1),
    # Notices a dead server during a call. A server that is not told otherwise hangs up on clients that ping
    # an idle connection, or a quiet one much more often than this.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # gRPC's own first pause before it reconnects is 1 s, longer than the first retries: they would all fail
    # without having tried.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def credentials(tls: bool | grpc.ChannelCredentials) -> grpc.ChannelCredentials | None:
    """None means plaintext; True means the system's root certificates."""
    if isinstance(tls, bool):
        return grpc.ssl_channel_credentials() if tls else None
    return tls


def open_channel(target: str, tls: bool | grpc.ChannelCredentials) -> grpc.Channel:
    """A channel to `target`; it connects on the first call."""
    secure = credentials(tls)
    if secure is None:
        return grpc.insecure_channel(address(target), OPTIONS)
    return grpc.secure_channel(address(target), secure, OPTIONS)


def open_async_channel(target: str, tls: bool | grpc.ChannelCredentials) -> grpc.aio.Channel:
    """The same for asyncio; belongs to the running event loop."""
    secure = credentials(tls)
    if secure is None:
        return grpc.aio.insecure_channel(address(target), OPTIONS)
    return grpc.aio.secure_channel(address(target), secure, OPTIONS)
