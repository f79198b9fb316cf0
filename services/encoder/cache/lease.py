"""An image that several replicas miss at once is encoded by one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

from services.encoder.cache.outage import Troubles
from services.encoder.cache.store import EntryRefused, Store, StoreError, WritesRefused

# How long a replica that dies while it encodes holds the others up; one that lives renews its lease.
_LEASE_S = 5.0
_POLL_S = 0.02
# However long another replica is at it, nobody waits longer before encoding by itself.
_PATIENCE_S = 60.0


class _Claim(Enum):
    OURS = "ours"
    THEIRS = "theirs"
    # The store grants none just now: everybody encodes by himself.
    NOBODYS = "nobody's"


class Leases:
    """Leases on entries of a store.

    Args:
        store: keeps them.
        troubles: of that store; while one lasts nobody waits for a lease.
        clock: seconds, monotonic.
    """

    def __init__(self, store: Store, troubles: Troubles, clock: Callable[[], float]) -> None:
        self._store = store
        self._troubles = troubles
        self._clock = clock

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[bool]:
        """Hold an entry's lease while its image is encoded.

        Yields whether somebody else had it before: then the entry is probably there now. A lease that can't be
        had in time, or a store that is gone or takes no writes, stops nobody.
        """
        deadline = self._clock() + _PATIENCE_S
        waited = False
        while (claim := await self._claim_or_leave(key)) is _Claim.THEIRS and self._clock() < deadline:
            waited = True
            await asyncio.sleep(_POLL_S)
        if claim is not _Claim.OURS:
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
            self._note(key, error)

    async def _claim_or_leave(self, key: str) -> _Claim:
        """Who is cancelled leaves, and a lease that he is given all the same goes back."""
        claim = asyncio.ensure_future(self._claim(key))
        try:
            # Cancelled within a command, redis-py may lose either the lease or the cancelling.
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            if await claim is _Claim.OURS:
                await self._release(key)
            raise

    async def _claim(self, key: str) -> _Claim:
        trouble = self._troubles.of(key)
        if trouble.outage.lasts or trouble.writes.lasts:
            return _Claim.NOBODYS
        try:
            return _Claim.OURS if await self._store.claim(key, _LEASE_S) else _Claim.THEIRS
        except StoreError as error:
            self._note(key, error)
            return _Claim.NOBODYS

    async def _release(self, key: str) -> None:
        if self._troubles.of(key).outage.lasts:
            return
        try:
            # One that takes no writes may take this one: a full Redis does.
            await self._store.release(key)
        except StoreError as error:
            self._note(key, error)

    def _note(self, key: str, error: StoreError) -> None:
        match error:
            case WritesRefused():
                self._troubles.of(key).writes.begin(error)
            case EntryRefused():
                pass  # Of this lease alone; the entry's own look-up and writing tell of it.
            case _:
                self._troubles.of(key).outage.begin(error)
