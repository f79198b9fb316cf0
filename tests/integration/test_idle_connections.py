"""Connections that bring nothing are hung up on, by the proxy that Serve starts."""

from __future__ import annotations

import socket
import time

import heroserve
from tests.support.services import Services

# gRPC's own patience with who says nothing at all.
_GRPCS_S = 120


def test_who_connects_and_says_nothing_is_hung_up_on(services: Services) -> None:
    host, _, port = services.grpc.rpartition(":")
    begun = time.monotonic()
    with socket.create_connection((host, int(port)), timeout=_GRPCS_S) as silent:
        with heroserve.Client(services.grpc, timeout_s=60) as client:
            assert client.describe().model
        while silent.recv(1 << 16):
            # HTTP/2's greeting comes first.
            pass
    assert time.monotonic() - begun < _GRPCS_S / 2
