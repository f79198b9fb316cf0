"""Ports that nobody listens on."""

from __future__ import annotations

import errno
import random
import socket

# By this process: nobody may listen on them yet.
_given: set[int] = set()
_ports = range(20_000, 32_000)


def share_ports(index: int, processes: int) -> None:
    """From here on ``free_port`` gives what it gives in none of the others of so many processes, counted from 0."""
    global _ports
    _ports = range(20_000 + index, 32_000, processes)


def free_port() -> int:
    """A port nobody listens on, another each time, outside the ranges that the kernel and Ray hand out themselves."""
    while True:
        port = random.choice(_ports)
        if port not in _given and is_free(port):
            _given.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether nobody listens on it, on any address, of either family."""
    hosts = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1")]
    if socket.has_dualstack_ipv6():
        hosts += [(socket.AF_INET6, "::"), (socket.AF_INET6, "::1")]
    return all(_can_bind(family, host, port) for family, host in hosts)


def _can_bind(family: socket.AddressFamily, host: str, port: int) -> bool:
    with socket.socket(family) as probe:
        # What is only left of connections is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            # Where there is no such address nobody listens on it.
            return error.errno == errno.EADDRNOTAVAIL
    return True
