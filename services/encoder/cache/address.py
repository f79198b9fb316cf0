"""A Redis's URL, read strictly: what could mean two things is refused, and no refusal repeats any of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

Kind = Literal["single", "cluster", "sentinel"]

FORMS = (
    "memory://, redis://host:port/db, unix:///path, redis+cluster://host:port,host:port or "
    "redis+sentinel://host:port,host:port/master; rediss in place of redis for TLS"
)
_KINDS: dict[str, Kind] = {"": "single", "+cluster": "cluster", "+sentinel": "sentinel"}
_PORTS: dict[Kind, int] = {"single": 6379, "cluster": 6379, "sentinel": 26379}
_HOST = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*))(?::(?P<port>[0-9]+))?"
)
_HALF_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODE = (
    "a user name or password in it must have # / ? @ [ ] % and blanks percent-encoded, "
    "or stand in HEROSERVE_CACHE_USERNAME and HEROSERVE_CACHE_PASSWORD in their place"
)


class AddressError(ValueError):
    """The URL can't be used. What it says repeats none of it: it may hold a password."""


def _flag(value: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]


def _verify(value: str) -> str:
    return {word: word for word in ("none", "optional", "required")}[value]


def _protocol(value: str) -> int:
    return {"2": 2, "3": 3}[value]


# What may stand behind the question mark: redis-py's names, and how each is read.
_OPTIONS: dict[str, Callable[[str], Any]] = {
    "client_name": str,
    "health_check_interval": int,
    "protocol": _protocol,
    "socket_keepalive": _flag,
}
_TLS_OPTIONS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
    "ssl_cert_reqs": _verify,
    "ssl_check_hostname": _flag,
}


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis is, and how one gets in.

    Args:
        kind: one server, a cluster by some of its nodes, or whoever the Sentinels say is master.
        hosts: names or addresses with their ports: the server, nodes of the cluster, or the Sentinels.
        socket: path of a Unix socket in their place.
        master: what the Sentinels call it.
        db: index of the database.
        username, password: empty for none.
        sentinel_password: of the Sentinels themselves.
        tls: whether the connections are encrypted.
        options: others of redis-py's connections.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    socket: str = ""
    master: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)
    tls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_address(url: str, username: str = "", password: str = "", sentinel_password: str = "") -> RedisAddress:
    """A URL, and what stands beside it for it not to hold a secret.

    Raises:
        AddressError: it is none of FORMS, or a piece of a password may have been taken for something else.
    """
    scheme, found, rest = url.partition("://")
    if found and scheme.lower() == "unix":
        kind, tls = _KINDS[""], False
    else:
        match = re.fullmatch(r"redis(s?)(\+cluster|\+sentinel|)", scheme.lower()) if found else None
        if match is None:
            raise AddressError(f"expected {FORMS}")
        kind, tls = _KINDS[match[2]], bool(match[1])
    credentials, hosts, path, query = _split(rest)
    own_name, own_password = _credentials(credentials)
    name = _one(own_name, username, "user name", "HEROSERVE_CACHE_USERNAME")
    word = _one(own_password, password, "password", "HEROSERVE_CACHE_PASSWORD")
    if name and not word:
        raise AddressError("it has a user name and no password: write :password@ or set HEROSERVE_CACHE_PASSWORD")
    options = _options(query, tls)
    where = _unix(hosts, path, options) if scheme.lower() == "unix" else _network(kind, hosts, path, options)
    return RedisAddress(
        kind=kind,
        username=name,
        password=word,
        sentinel_password=sentinel_password,
        tls=tls,
        options=options,
        **where,
    )


def _split(rest: str) -> tuple[str, str, str, str]:
    """User and password, hosts, path, query."""
    if "#" in rest or any(char.isspace() or not char.isprintable() for char in rest):
        raise AddressError(_ENCODE)
    authority = re.match(r"[^/?]*", rest)
    behind = rest[authority.end() :] if authority else rest
    credentials, _, hosts = rest[: len(rest) - len(behind)].rpartition("@")
    if "@" in behind or _HALF_ENCODED.search(credentials) or re.search(r"[@\[\]]", credentials):
        raise AddressError(_ENCODE)
    path, _, query = behind.partition("?")
    return credentials, hosts, path, query


def _credentials(text: str) -> tuple[str, str]:
    name, _, password = text.partition(":")
    return unquote(name), unquote(password)


def _one(of_url: str, beside: str, what: str, variable: str) -> str:
    if of_url and beside and of_url != beside:
        raise AddressError(f"it has another {what} than {variable}: leave one of them out")
    return of_url or beside


def _options(query: str, tls: bool) -> dict[str, Any]:
    known = {**_OPTIONS, "db": _index, **(_TLS_OPTIONS if tls else {})}
    options: dict[str, Any] = {}
    for item in query.split("&") if query else ():
        name, found, value = item.partition("=")
        if not found or name not in known or name in options:
            raise AddressError(f"behind the ? may stand, once each, {', '.join(sorted(known))}; {_ENCODE}")
        try:
            options[name] = known[name](unquote(value))
        except (KeyError, ValueError):
            raise AddressError(f"option {name} has no such value") from None
    return options


def _index(value: str) -> int:
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise ValueError(value)
    return int(value)


def _unix(hosts: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
    if hosts or len(path) < 2:
        raise AddressError("expected unix:///path/of/the/socket?db=0")
    return {"hosts": (), "socket": unquote(path), "db": options.pop("db", 0)}


def _network(kind: Kind, hosts: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
    found = tuple(_host(host, _PORTS[kind]) for host in hosts.split(","))
    if kind == "single" and len(found) > 1:
        raise AddressError("several hosts are a cluster (redis+cluster://) or Sentinels (redis+sentinel://)")
    first, _, behind = path.removeprefix("/").partition("/")
    master = ""
    if kind == "sentinel":
        master = unquote(first)
        if not master:
            raise AddressError("behind the Sentinels the master's name is missing: redis+sentinel://host:26379/master")
    else:
        behind = first if not behind else f"{first}/{behind}"
    try:
        db = _index(behind) if behind else 0
    except ValueError:
        raise AddressError(f"behind host and port only a database's index may stand: {FORMS}; {_ENCODE}") from None
    if "db" in options:
        if behind:
            raise AddressError("it names a database twice")
        db = options.pop("db")
    if kind == "cluster" and db:
        raise AddressError("a cluster has no database but 0")
    return {"hosts": found, "master": master, "db": db}


def _host(text: str, port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise AddressError(f"a host, and perhaps :port, is missing or malformed; {_ENCODE}")
    number = int(match["port"][:6]) if match["port"] else port
    if not 1 <= number <= 65535:
        raise AddressError("a port is a number from 1 to 65535")
    return match["six"] or match["name"], number
