"""Entries in Redis, shared by every encoder replica."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import ReadOnlyError

from services.encoder.cache import redis_check
from services.encoder.cache.address import RedisAddress, parse_address
from services.encoder.cache.redis_client import close, connect, drop, node_of
from services.encoder.cache.replies import as_store_error
from services.encoder.cache.store import Store, StoreError

_PREFIX = "heroserve:"
T = TypeVar("T")


class RedisStore(Store):
    """``heroserve:{key}:meta`` and ``heroserve:{key}:rows``, both with the same time to live.

    In a cluster the key stands in braces there: Redis then keeps all of an entry on one node.

    Args:
        address: as ``parse_address`` reads it, or a URL for that.
        ttl_s: whole seconds.
        timeout_s: for connecting, and for each command.

    Raises:
        AddressError: the URL can't be used.
    """

    def __init__(self, address: RedisAddress | str, ttl_s: int, timeout_s: float) -> None:
        self._address = parse_address(address) if isinstance(address, str) else address
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._client: Any = connect(self._address, timeout_s)
        self._in_cluster = self._address.kind == "cluster"
        # One server is given up by its connection; where several are asked one after the other, here.
        self._limit_s = timeout_s * (2 if self._address.kind == "single" else 1)

    async def check(self) -> None:
        await redis_check.check(self._client, self._address, self._timeout_s)
        # What is left of a lease that nobody asks for is gone in a moment.
        await self.claim("start", 0.001)

    def place(self, key: str) -> str:
        return node_of(self._client, self._name(key, "meta")) if self._in_cluster else ""

    async def meta(self, key: str) -> bytes | None:
        meta: bytes | None = await self._reach(lambda: self._client.get(self._name(key, "meta")))
        return meta

    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        if not spans:
            return []

        def read() -> Awaitable[list[Any]]:
            pipeline = self._client.pipeline(transaction=False)
            for start, stop in spans:
                # GETRANGE includes its end, and an end before the start would mean the whole string's tail.
                pipeline.getrange(self._name(key, "rows"), start, stop - 1)
            return self._run(pipeline)

        return await self._reach(read)

    async def put(self, key: str, meta: bytes, rows: bytes) -> bool:
        def write() -> Awaitable[list[Any]]:
            # SET replaces whatever stands there, of any type. In a cluster not at once, for redis-py's transactions run
            # in threads of their own there; halves of two entries are found by their checksums.
            pipeline = self._client.pipeline(transaction=not self._in_cluster)
            pipeline.set(self._name(key, "meta"), meta, ex=self._ttl_s)
            pipeline.set(self._name(key, "rows"), rows, ex=self._ttl_s)
            return self._run(pipeline)

        await self._reach(write, writing=True)
        return True

    async def claim(self, key: str, seconds: float) -> bool:
        name = self._name(key, "lease")

        def claim() -> Awaitable[Any]:
            return self._client.set(name, b"", nx=True, px=max(1, int(seconds * 1000)))  # type: ignore[no-any-return]

        if await self._reach(claim, writing=True):
            return True
        # None of ours is without an end; such a one would hold everybody up for ever.
        if await self._reach(lambda: self._client.pttl(name)) == -1:
            await self.release(key)
        return False

    async def renew(self, key: str, seconds: float) -> None:
        await self._reach(lambda: self._client.pexpire(self._name(key, "lease"), int(seconds * 1000)), writing=True)

    async def release(self, key: str) -> None:
        await self._reach(lambda: self._client.delete(self._name(key, "lease")), writing=True)

    async def close(self) -> None:
        await close(self._client)

    async def _run(self, pipeline: Any) -> list[Any]:
        """What the commands answered; raises the first refusal."""
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _reach(self, command: Callable[[], Awaitable[T]], *, writing: bool = False) -> T:
        try:
            return await asyncio.wait_for(self._twice(command), self._limit_s)
        except asyncio.CancelledError:
            raise
        except asyncio.TimeoutError:
            raise StoreError(f"no answer within {self._limit_s:g} s") from None
        except Exception as error:  # noqa: BLE001 - whatever a client makes of nonsense, the cache is never down
            # Without the cause: its text may have what was sent.
            raise as_store_error(error, writing=writing) from None

    async def _twice(self, command: Callable[[], Awaitable[T]]) -> T:
        """Again where whoever was master is a replica now: after a failover the name leads to another."""
        try:
            return await command()
        except ReadOnlyError:
            await drop(self._client)
        return await command()

    def _name(self, key: str, part: str) -> str:
        return f"{_PREFIX}{{{key}}}:{part}" if self._in_cluster else f"{_PREFIX}{key}:{part}"
