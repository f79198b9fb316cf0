"""Entries in Redis, shared by every encoder replica."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from services.encoder.cache.store import Store, StoreError, StoreRefusedError

_PREFIX = "heroserve:"
T = TypeVar("T")


class RedisStore(Store):
    """``heroserve:{key}:meta`` and ``heroserve:{key}:rows``, both with the same time to live.

    Args:
        url: redis://, rediss:// or unix://.
        ttl_s: whole seconds.
        timeout_s: for connecting, and for each command.

    Raises:
        ValueError: the URL can't be used; what it says may repeat the password.
    """

    def __init__(self, url: str, ttl_s: int, timeout_s: float) -> None:
        self._ttl_s = ttl_s
        # One retry replaces a connection that died while idle. A time-out is not tried again: it is the limit.
        self._client: Any = aioredis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        pool = self._client.connection_pool
        try:
            # Unknown options in the URL would else come out at the first request.
            pool.connection_class(**pool.connection_kwargs)
        except TypeError as error:
            raise ValueError(str(error)) from error

    async def meta(self, key: str) -> bytes | None:
        return await self._reach(self._client.get(_name(key, "meta")))

    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        pipeline = self._client.pipeline(transaction=False)
        for start, stop in spans:
            # GETRANGE includes its end, and an end before the start would mean the whole string's tail.
            pipeline.getrange(_name(key, "rows"), start, stop - 1)
        return await self._reach(pipeline.execute())

    async def put(self, key: str, meta: bytes, rows: bytes) -> bool:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.set(_name(key, "meta"), meta, ex=self._ttl_s)
        pipeline.set(_name(key, "rows"), rows, ex=self._ttl_s)
        await self._reach(pipeline.execute())
        return True

    async def claim(self, key: str, seconds: float) -> bool:
        claimed = await self._reach(self._client.set(_name(key, "lease"), b"", nx=True, px=int(seconds * 1000)))
        return bool(claimed)

    async def renew(self, key: str, seconds: float) -> None:
        await self._reach(self._client.pexpire(_name(key, "lease"), int(seconds * 1000)))

    async def release(self, key: str) -> None:
        await self._reach(self._client.delete(_name(key, "lease")))

    async def close(self) -> None:
        await self._client.aclose()

    async def _reach(self, command: Awaitable[T]) -> T:
        try:
            return await command
        except ResponseError as error:
            if isinstance(error, ReadOnlyError):
                # After a failover the name leads to another server, which only new connections find.
                await self._client.connection_pool.disconnect(inuse_connections=False)
            raise StoreRefusedError(f"{type(error).__name__}: {error}") from error
        except (RedisError, OSError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error


def _name(key: str, part: str) -> str:
    return f"{_PREFIX}{key}:{part}"
