"""Whether a service can listen where its settings say, asked before anything starts."""

from __future__ import annotations

import errno
import socket

from services.common.settings import SettingError
from services.common.shown import assigned

_EVERYWHERE = "0.0.0.0"


def check_host(host: str) -> None:
    """Raises:
    SettingError: it is no address of this machine.
    """
    _try(host, 0, f"{assigned('HEROSERVE_HTTP_HOST', host)}: it can't be listened on")


def check_port(variable: str, port: int, host: str = _EVERYWHERE) -> None:
    """Raises:
    SettingError: another process listens on it; names the variable.
    """
    problem = f"{variable}={port}: the port can't be used"
    _try(host, port, problem)
    if host == _EVERYWHERE and socket.has_dualstack_ipv6():
        # Where localhost is looked for first: who listens there alone would be asked in our place.
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(("::", port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise SettingError(f"{problem} ({error.strerror})") from error


def _try(host: str, port: int, problem: str) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingError(f"{problem} ({error.strerror})") from error
    except UnicodeError as error:
        raise SettingError(f"{problem} (it is no name)") from error
