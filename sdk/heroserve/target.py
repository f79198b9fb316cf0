"""Where a service is, as people write it: HOST:PORT, or one of gRPC's own names."""

from __future__ import annotations

import ipaddress
import re
import reprlib

# What begins like one of gRPC's names; "dns:9001" is a host.
_SCHEME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds|passthrough):(?!\d+$)")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def address(target: str) -> str:
    """`target` as gRPC resolves it: "host:port" becomes "dns:///host:port", gRPC's own names stay.

    Raises ValueError for what gRPC could only fail on later, or would take for another place: where there is no port it
    takes 443, and of one that is too large what is left of it in 16 bits.
    """
    if problem := flaw(target):
        raise ValueError(f"expected HOST:PORT, such as localhost:9001, not {_SHORT.repr(target)}: {problem}")
    return target if _SCHEME.match(target) else f"dns:///{target}"


def flaw(target: str) -> str | None:
    """Why `target` is no address, as the rest of a sentence; None if it is one."""
    if not isinstance(target, str):
        return f"it is {type(target).__name__}"
    if not target:
        return "it is empty"
    if scheme := _SCHEME.match(target):
        return _flaw_of_name(scheme[1], target[scheme.end() :])
    if "://" in target:
        return "it is a URL; gRPC has none"
    return _flaw_of_place(target)


def _flaw_of_name(scheme: str, rest: str) -> str | None:
    if scheme in ("unix", "unix-abstract"):
        return None if rest.strip("/") else "it has no path"
    if scheme == "dns":  # dns:[//AUTHORITY/]HOST:PORT
        return _flaw_of_place(rest.rpartition("/")[2] if rest.startswith("//") else rest)
    if scheme in ("ipv4", "ipv6"):  # with a comma between several
        return next(filter(None, map(_flaw_of_place, rest.split(","))), None)
    return None if rest else "it has no name"


def _flaw_of_place(place: str) -> str | None:
    if place.startswith("["):
        inside, bracket, rest = place[1:].partition("]")
        if not bracket or not _is_ipv6(inside):
            return "what is in brackets is no IPv6 address"
        if rest and not rest.startswith(":"):
            return "behind the bracket stands no port"
        return _flaw_of_port(rest[1:])
    if place.count(":") > 1:
        return "an IPv6 address stands in brackets, such as [::1]:9001" if _is_ipv6(place) else "it has two colons"
    host, _, port = place.partition(":")
    if not host:
        return "it has no host"
    if not _HOST.fullmatch(host):
        return "a host has letters, digits, dots and hyphens"
    return _flaw_of_port(port)


def _flaw_of_port(port: str) -> str | None:
    if not port:
        return "it has no port"
    if not (port.isascii() and port.isdigit()):
        return "its port is no number"
    return None if 1 <= int(port[:6]) <= 65535 and len(port) <= 5 else "a port is 1 to 65535"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
