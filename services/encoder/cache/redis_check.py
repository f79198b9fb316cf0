"""Whether a Redis can be used as it is set, asked at the start: what can't heal by itself is told at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    MovedError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from services.encoder.cache.address import RedisAddress
from services.encoder.cache.redis_client import sentinels_of
from services.encoder.cache.replies import as_store_error, causes, code_of
from services.encoder.cache.store import StoreError, StoreUnusable

_LOGIN = "check HEROSERVE_CACHE_USERNAME and HEROSERVE_CACHE_PASSWORD, or what stands before the @"
_PROBE = "heroserve:start"
COMMANDS = "GET, GETRANGE, SET, DEL, PEXPIRE, PTTL, MULTI, EXEC"
_TLS = "Redis speaks TLS there: write rediss in place of redis"
_CLEAR = "Redis speaks no TLS there: write redis in place of rediss"
# What a Redis says of its mode, and how such a one is named.
_FORMS = {
    "cluster": "is a node of a cluster: write redis+cluster:// (rediss+cluster:// with TLS) and no database",
    "sentinel": "is a Sentinel: write redis+sentinel://host:26379/NAME-OF-THE-MASTER",
}


async def check(client: Any, address: RedisAddress, timeout_s: float) -> None:
    """Log in, and read.

    Raises:
        StoreUnusable: what can't heal by itself: login, TLS, database, the form of the URL, no permission to read.
        StoreError: it is away, or too slow, which may pass.
    """
    try:
        await asyncio.wait_for(_ask(client, address), 4 * timeout_s)
    except asyncio.TimeoutError:
        raise StoreError(f"no answer within {4 * timeout_s:g} s") from None
    except StoreUnusable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told: as a setting's fault, or as an outage
        reason = _unusable(error)
        if reason is None:
            reason = await _other_protocol(address, error, timeout_s)
        if reason is not None:
            raise StoreUnusable(reason) from None
        raise as_store_error(error, writing=False) from None


async def _ask(client: Any, address: RedisAddress) -> None:
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        path = address.options.get(option)
        if path is not None and not os.access(path, os.R_OK):
            raise StoreUnusable(f"the file that {option} names can't be read")
    if address.kind == "sentinel":
        await _ask_sentinels(client, address.master)
    if isinstance(client, RedisCluster):
        await client.initialize()
    else:
        mode = await _mode(client)
        if mode in _FORMS:
            raise StoreUnusable(f"what answers there {_FORMS[mode]}")
    try:
        await client.get(_PROBE)
        await client.getrange(_PROBE, 0, 0)
    except NoPermissionError:
        raise StoreUnusable(f"its user may not read heroserve:*; it needs {COMMANDS}") from None
    except ResponseError as error:
        # Of another type than ours: somebody else's, and no reason not to start.
        if code_of(error) != "WRONGTYPE":
            raise


async def _mode(client: Any) -> str:
    """standalone, cluster or sentinel; empty where Redis is older than the question."""
    try:
        told = await client.execute_command("HELLO")
    except AuthenticationError:
        raise
    except ResponseError as error:
        if _unusable(error):
            raise
        return ""
    words = list(told.items()) if isinstance(told, dict) else list(zip(told[::2], told[1::2], strict=False))
    return next((_text(value) for name, value in words if _text(name) == "mode"), "")


async def _ask_sentinels(client: Any, master: str) -> None:
    """Raises StoreUnusable where those that answer have no such master, or are no Sentinels."""
    known: set[str] | None = None
    for sentinel in sentinels_of(client):
        try:
            known = (known or set()) | {_text(name) for name in await sentinel.sentinel_masters()}
        except AuthenticationError:
            raise StoreUnusable("the Sentinels refuse the password: set HEROSERVE_CACHE_SENTINEL_PASSWORD") from None
        except ResponseError as error:
            if _unusable(error):
                raise
            raise StoreUnusable("what answers there is no Sentinel; a Redis itself is redis://host:6379/0") from None
        except (RedisError, OSError) as error:
            if _unusable(error):
                raise
    if known is not None and master not in known:
        names = ", ".join(sorted(known)) or "none at all"
        raise StoreUnusable(f"the Sentinels know no master of that name, but {names}")


def _unusable(error: BaseException) -> str | None:
    """Why it can't be used, if waiting won't help."""
    for cause in causes(error):
        text = str(cause)
        if isinstance(cause, AuthenticationWrongNumberOfArgsError):
            return "Redis is older than users (6.0): leave out the user name"
        if isinstance(cause, AuthenticationError):
            # Which of them it is, is told by the words: without a password, with one too many, with a wrong one.
            return _login(text)
        if isinstance(cause, ssl.SSLCertVerificationError):
            told = cause.verify_message or "not valid"
            return f"TLS: Redis's certificate: {told}; ?ssl_ca_certs= names the authority's"
        if isinstance(cause, ssl.SSLError):
            return f"TLS can't be agreed on; if Redis does not encrypt: {_CLEAR}"
        if isinstance(cause, ResponseError) and "DB index is out of range" in text:
            return "Redis has no database of that index"
        if isinstance(cause, MovedError) or (isinstance(cause, ResponseError) and "SELECT is not allowed" in text):
            return f"what answers there {_FORMS['cluster']}"
        if isinstance(cause, RedisClusterException) and "Cluster mode is not enabled" in text:
            return "what answers there is no cluster: write redis:// in place of redis+cluster://"
    return None


def _login(text: str) -> str:
    if "NOAUTH" in text or "Authentication required" in text or "must be called with the client already" in text:
        return f"Redis wants a password: {_LOGIN}"
    if "without any password" in text or "no password is set" in text:
        return f"Redis has no password, and was given one: {_LOGIN}"
    return f"Redis refuses the user name or the password: {_LOGIN}"


async def _other_protocol(address: RedisAddress, error: Exception, timeout_s: float) -> str | None:
    """What to write if who hangs up, or says nothing, would speak the other way: in TLS, or in clear."""
    if not address.hosts or isinstance(error, ResponseError):
        return None
    speaks, told = (_in_clear, _CLEAR) if address.tls else (_in_tls, _TLS)
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        if await asyncio.wait_for(speaks(*address.hosts[0]), timeout_s):
            return told
    return None


async def _in_tls(host: str, port: int) -> bool:
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=anyone)
    except ssl.SSLError as refused:
        # An alert is TLS all the same: it wants our certificate, or another version.
        return "alert" in str(refused).lower()
    writer.close()
    return True


async def _in_clear(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"PING\r\n")
        return (await reader.read(1)) in (b"+", b"-")
    finally:
        writer.close()


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
