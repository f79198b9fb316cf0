"""Where entries are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class StoreError(Exception):
    """The store is out of reach or refused; nothing is known about the entry."""


class StoreRefusedError(StoreError):
    """The store is there, and would not do this: it is full, read-only, can't save, or we may not."""


class Store(ABC):
    """Two strings an entry: ``meta``, read whole, and ``rows``, read in ranges.

    A store may lose either at any time. Every method may raise StoreError, and does so within the store's
    time-out: callers go on without it.
    """

    @abstractmethod
    async def meta(self, key: str) -> bytes | None:
        """The entry's meta; None if there is none."""

    @abstractmethod
    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes [start, stop) of the entry's rows for each span; shorter where the rows are."""

    @abstractmethod
    async def put(self, key: str, meta: bytes, rows: bytes) -> bool:
        """Write both strings, replacing what is there; False for an entry that can never fit."""

    @abstractmethod
    async def claim(self, key: str, seconds: float) -> bool:
        """Take the entry's lease; False if somebody has it. It ends by ``release``, or ``seconds`` after the last
        ``renew``."""

    @abstractmethod
    async def renew(self, key: str, seconds: float) -> None:
        """Keep the entry's lease for so much longer."""

    @abstractmethod
    async def release(self, key: str) -> None:
        """End the entry's lease."""

    @abstractmethod
    async def close(self) -> None:
        """Give connections back."""
