"""An image that several replicas miss at once is encoded by one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.encoder.cache.outage import StoreHealth
from services.encoder.cache.store import Store, StoreError

# How long a replica that dies while it encodes holds the others up; one that lives renews its lease.
_LEASE_S = 5.0
_POLL_S = 0.02
# However long another replica is at it, nobody waits longer before encoding by itself.
_PATIENCE_S = 60.0


class Leases:
    """Leases on entries of a store.

    Args:
        store: keeps them.
        health: of that store; while it can't be written to, every lease is given.
        clock: seconds, monotonic.
    """

    def __init__(self, store: Store, health: StoreHealth, clock: Callable[[], float]) -> None:
        self._store = store
        self._health = health
        self._clock = clock

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[bool]:
        """Hold an entry's lease while its image is encoded.

        Yields whether somebody else had it before: then the entry is probably there now. A lease that can't be
        had in time, or a store that is gone, stops nobody.
        """
        deadline = self._clock() + _PATIENCE_S
        waited = False
        while not (claimed := await self._claim_or_leave(key)) and self._clock() < deadline:
            waited = True
            await asyncio.sleep(_POLL_S)
        if not claimed:
            yield waited
            return
        renewal = asyncio.create_task(self._keep(key))
        try:
            yield waited
        finally:
            renewal.cancel()
            await self._release(key)

    async def _keep(self, key: str) -> None:
        try:
            while True:
                await asyncio.sleep(_LEASE_S / 3)
                await self._store.renew(key, _LEASE_S)
        except StoreError as error:
            self._health.write_failed(error)

    async def _claim_or_leave(self, key: str) -> bool:
        """Who is cancelled leaves, and a lease that he is given all the same goes back."""
        claim = asyncio.ensure_future(self._claim(key))
        try:
            # Cancelled within a command, redis-py may lose either the lease or the cancelling.
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            if await claim:
                await self._release(key)
            raise

    async def _claim(self, key: str) -> bool:
        if not self._health.writable:
            return True
        try:
            return await self._store.claim(key, _LEASE_S)
        except StoreError as error:
            self._health.write_failed(error)
            return True

    async def _release(self, key: str) -> None:
        if not self._health.writable:
            return
        try:
            await self._store.release(key)
        except StoreError as error:
            self._health.write_failed(error)
