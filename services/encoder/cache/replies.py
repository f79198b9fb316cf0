"""What a Redis that failed to do something means by it, in our own words: its own may repeat what was sent to it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.encoder.cache.store import EntryRefused, StoreError, WritesRefused

_WRITES = {
    "OOM": "it is full (maxmemory), and evicts nothing",
    "READONLY": "it is a replica",
    "MISCONF": "it can't save to its disk",
    "NOREPLICAS": "too few replicas follow it",
    "NOPERM": "its user may not write",
}
# It answers nobody just now, or nobody who comes like this.
_NOBODY = {
    "LOADING": "it is loading its data",
    "BUSY": "it runs a script",
    "MASTERDOWN": "its master is down",
    "CLUSTERDOWN": "the cluster is down",
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it refuses the password",
    "MOVED": "it is a node of a cluster, which is HEROSERVE_CACHE_URL=redis+cluster://",
}
_BY_CLASS: tuple[tuple[type[RedisError], str], ...] = (
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (NoPermissionError, "NOPERM"),
    (BusyLoadingError, "LOADING"),
    (ClusterDownError, "CLUSTERDOWN"),
    (MovedError, "MOVED"),
    (AuthenticationError, "WRONGPASS"),
)
# How connecting fails where a command never got its turn.
_CONNECTING = re.compile("DB index is out of range|SELECT is not allowed in cluster mode")
# redis-py puts the command before what was said of it: ``Command # 1 (SET ...) of pipeline caused error: ('OOM ...``
_SAID = "of pipeline caused error: "
_CODE = re.compile(r"[(\['\"]*([A-Z]+)\b")
_ONE_ENTRYS = frozenset({"ERR", "WRONGTYPE", "TRYAGAIN", "CROSSSLOT", "ASK", "EXECABORT"})


def as_store_error(error: Exception, *, writing: bool) -> StoreError:
    """What went wrong, and what it is about: everything, writes, or one entry.

    Args:
        error: whatever redis-py raised.
        writing: what it was asked for changes something.
    """
    code = code_of(error)
    if writing and code in _WRITES:
        return WritesRefused(f"{code}: {_WRITES[code]}")
    if code in _NOBODY:
        return StoreError(f"{code}: {_NOBODY[code]}")
    if isinstance(error, ResponseError) and not _CONNECTING.search(str(error)):
        return EntryRefused(f"Redis answers {code or 'with an error'}")
    if isinstance(error, (RedisConnectionError, RedisTimeoutError, OSError)):
        # It tells of a host, a port, the system's reason.
        return StoreError(f"{type(error).__name__}: {error}")
    # Not what Redis speaks, or a bug of the client: its text may have bytes of an entry.
    return StoreError(type(error).__name__)


def code_of(error: Exception) -> str:
    """The word that an answer of Redis's begins with; empty where there is none that we know."""
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return code
    match = _CODE.match(str(error).rpartition(_SAID)[2]) if isinstance(error, ResponseError) else None
    known = match is not None and (match[1] in _WRITES or match[1] in _NOBODY or match[1] in _ONE_ENTRYS)
    return match[1] if match is not None and known else ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it came of."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
