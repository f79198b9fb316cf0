"""Where entries are kept.

StoreError              it is out of reach, or answers nobody: it is left alone for a while
├── WritesRefused       it answers, and takes no writes: reads go on
└── EntryRefused        it answers, and what it says concerns this entry alone
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


class StoreError(Exception):
    """The store is out of reach, or answers nobody; nothing is known about the entry.

    No message of it repeats what was sent or stored, or a password.
    """


class WritesRefused(StoreError):
    """The store is there and is read, but takes no writes: full, a replica, unable to save, no permission."""


class EntryRefused(StoreError):
    """The store is there, and this entry can't be had or kept: what stands in its place is nothing that we wrote."""


class StoreUnusable(Exception):
    """The store can't be used as it is set, and won't be by waiting. What it says repeats no secret."""


class Store(ABC):
    """Two strings an entry: ``meta``, read whole, and ``rows``, read in ranges.

    A store may lose either at any time. Every method may raise StoreError, and does so within the store's
    time-out: callers go on without it.
    """

    @abstractmethod
    async def check(self) -> None:
        """Before anything is asked of it: whether it can be used.

        Raises:
            StoreUnusable: not as it is set.
            StoreError: not now; WritesRefused: for reading alone.
        """

    def place(self, key: str) -> str:
        """Which part of the store the entry is in, where one may fail and others not."""
        return ""

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
