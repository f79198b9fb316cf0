"""Which hosts images may be fetched from, by name and port: a list that the operator writes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Hosts:
    """A list of them.

    Args:
        entries: as ``parse_hosts`` gives them.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._names: set[tuple[str, int | None]] = set()
        self._below: set[tuple[str, int | None]] = set()
        for entry in entries:
            host, port = split(entry)
            (self._below if host.startswith("*.") else self._names).add((host.removeprefix("*"), port))

    def __bool__(self) -> bool:
        return bool(self._names or self._below)

    def admits(self, scheme: str, host: str, port: int) -> bool:
        """Whether the list names this.

        Args:
            scheme: http or https.
            host: as it will be connected to, in lower case, without brackets.
            port: an entry that names none means the scheme's own.
        """
        named = {port, None} if port == _DEFAULT_PORTS[scheme] else {port}
        host = host.removesuffix(".")
        if not (_NAME.fullmatch(host) or _is_v6(host)):
            return False
        if any((host, each) in self._names for each in named):
            return True
        dots = (at for at, char in enumerate(host) if char == "." and at)
        return any((host[at:], each) in self._below for at in dots for each in named)


def parse_hosts(value: str) -> tuple[str, ...]:
    """A list off a setting: names, ``*.NAME`` for all below one, addresses; ``:PORT`` behind one for a port of its own.

    Raises:
        ValueError: one is none of these; says which.
    """
    return tuple(_checked(entry.strip()) for entry in value.split(","))


def _checked(entry: str) -> str:
    host, port = split(entry.lower())
    if not _is_host(host) or (port is not None and not 1 <= port <= 65535):
        raise ValueError(
            "expected hosts in ASCII with commas between them, such as images.example.com, *.example.com or "
            "images.example.com:8443, without https:// and without a path; an IPv6 address in brackets"
        )
    return entry.lower()


def split(entry: str) -> tuple[str, int | None]:
    """Host without brackets, and port; port -1 if that is none."""
    host, colon, port = entry.rpartition(":")
    if not colon or entry.endswith("]"):
        host, colon, port = entry, "", ""
    elif ":" in host and not host.endswith("]"):
        # What is its last part, and what a port, could be taken either way.
        return "no host", -1
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        host = str(ipaddress.IPv6Address(host)) if _is_v6(host) else "no host"
    if not colon:
        return host, None
    return host, int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1


def is_address(host: str) -> bool:
    """Whether a host of such a list, or one that it admits, is an address and no name."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def _is_host(host: str) -> bool:
    if _is_v6(host):
        return True
    name = host.removeprefix("*.")
    # One that ends in a number is an address to some (127.1, 0x7f.1), so that it has to be a whole one.
    if name.rpartition(".")[2][:1].isdigit():
        try:
            return name == host == str(ipaddress.IPv4Address(host))
        except ValueError:
            return False
    return len(name) <= 253 and bool(_NAME.fullmatch(name))


def _is_v6(host: str) -> bool:
    try:
        # A zone is one machine's own.
        return "%" not in host and bool(ipaddress.IPv6Address(host))
    except ValueError:
        return False
