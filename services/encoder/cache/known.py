"""Entries that this replica has read or written, without their rows: of those the next hit reads the rows alone."""

from __future__ import annotations

from collections import OrderedDict

from services.encoder.cache.entry import Entry

# Of 5760 tokens, ten tiles of CLIP-L's, an entry is 123 kB.
MAX_BYTES = 32 << 20
# What an entry takes besides its arrays, about.
_BESIDES = 1024


class KnownEntries:
    """Bounded in bytes; the least recently used goes first.

    It may be behind the store, which has lost an entry or has it of another pass: rows prove by its checksums that
    they are its own, and who finds otherwise has it forgotten.

    Args:
        max_bytes: of all entries together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Know it, in place of another one; one that is too large by itself is not known."""
        self.forget(key)
        self._entries[key] = entry
        self._bytes += _size(entry)
        while self._bytes > self._max_bytes:
            self.forget(next(iter(self._entries)))

    def forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(entry)


def _size(entry: Entry) -> int:
    arrays = (entry.valid, entry.stored, entry.positions, entry.checksums, entry.saliency_cos, entry.relevance)
    return _BESIDES + sum(array.nbytes for array in arrays)
