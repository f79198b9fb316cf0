"""An entry's bytes: how a ranked image is written, and how a reader knows that it got back what was written."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from services.encoder.cache.layout import CorruptEntryError, check_layout, check_terms
from services.encoder.identity import SCHEMA
from services.families.grid import Grid

if TYPE_CHECKING:
    from services.common.rows import Bytes2D, RowDtype
    from services.encoder.ranking.ranked_image import RankedImage

Indices = np.ndarray[Any, np.dtype[np.int64]]
# Of each tile its first rows, best first, uint8 [counts[t], row_bytes].
Prefixes = list["Bytes2D"]

__all__ = ["CorruptEntryError", "Entry", "Prefixes", "build_entry", "dump", "parse"]

# What proves whose bytes they are, and the length of the JSON behind it.
_MARK_BYTES = 16
_HEAD = struct.Struct(f"<{_MARK_BYTES}sI")
_CHECKSUM_BYTES = 16
_ARRAYS = {
    "valid": "<i8",
    "stored": "<i8",
    "positions": "<u2",
    "checksums": "u1",
    "saliency_cos": "<f4",
    "relevance": "<f4",
}

# From all of a meta's bytes but its mark to the mark: ``Seal.mark`` of the entry's name.
Mark = Callable[[bytes], bytes]


def plain_mark(body: bytes) -> bytes:
    """Finds damage and nothing else: of an entry that nobody else can reach."""
    return hashlib.sha256(body).digest()[:_MARK_BYTES]


@dataclass(frozen=True)
class Entry:
    """A cached image without its rows. n is the number of rows stored, over all tiles.

    Args:
        grid: how the image was cut.
        valid: int64 [1 + K], tokens of each tile that are not padding.
        stored: int64 [1 + K], how many of them are in ``rows``, best first.
        positions: uint16 [n], index within its tile, ranked.
        checksums: uint8 [n, 16], SHA-256 of each row together with all before it of its tile: a prefix is checked at
            once, and whoever may not forge ``meta`` can't forge rows either.
        saliency_cos, relevance, dtype, feature_width: as in ``RankedImage``.
    """

    grid: Grid
    valid: np.ndarray[Any, np.dtype[np.int64]]
    stored: np.ndarray[Any, np.dtype[np.int64]]
    positions: np.ndarray[Any, np.dtype[np.uint16]]
    checksums: Bytes2D
    saliency_cos: np.ndarray[Any, np.dtype[np.float32]]
    relevance: np.ndarray[Any, np.dtype[np.float32]]
    dtype: RowDtype
    feature_width: int
    row_bytes: int

    @property
    def starts(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Index of each tile's first row, int64 [1 + K]."""
        return _starts(self.stored)

    def spans(self, counts: Sequence[int]) -> list[tuple[int, int]]:
        """Byte range in ``rows`` of the first ``counts[t]`` rows of each tile; tiles with none are left out."""
        size = self.row_bytes
        return [
            (int(start) * size, (int(start) + count) * size)
            for start, count in zip(self.starts, counts, strict=True)
            if count
        ]

    def kept(self, counts: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Indices of those rows, int64 [sum(counts)]."""
        return _prefixes(self.starts, counts)

    def tiles(self, rows: Bytes2D) -> Prefixes:
        """All rows that are stored, uint8 [n, row_bytes], by tile; nothing is copied."""
        return np.split(rows, self.starts[1:])

    def check(self, counts: Sequence[int], chunks: Sequence[bytes | memoryview]) -> Prefixes:
        """The rows of ``spans(counts)``, a chunk a span, by tile; nothing is copied.

        Raises:
            CorruptEntryError: they are short, or not what was written.
        """
        size = self.row_bytes
        found, wanted = sum(map(len, chunks)), sum(counts) * size
        kept = sum(count > 0 for count in counts)
        if found != wanted or len(chunks) != kept:
            raise CorruptEntryError(f"{found} bytes of rows in {len(chunks)} tiles in place of {wanted} in {kept}")
        unread, tiles = iter(chunks), []
        for start, count in zip(self.starts.tolist(), counts, strict=True):
            chunk = next(unread) if count else b""
            if len(chunk) != count * size:
                raise CorruptEntryError(f"{len(chunk)} bytes of a tile's rows in place of {count * size}")
            if count:
                last = self.checksums[start + count - 1].tobytes()
                if not hmac.compare_digest(hashlib.sha256(chunk).digest()[:_CHECKSUM_BYTES], last):
                    raise CorruptEntryError(f"row {start + self._first_bad(start, chunk)} fails its checksum")
            tiles.append(np.frombuffer(chunk, np.uint8).reshape(count, size))
        return tiles

    def check_terms(self, side: int | None = None, relevance: int | None = None) -> None:
        """Whether plans can be made of it: see ``layout.check_terms``."""
        check_terms(self, side, relevance)

    def _first_bad(self, start: int, chunk: bytes | memoryview) -> int:
        rows = memoryview(chunk)
        running = _running_checksums(rows[at : at + self.row_bytes] for at in range(0, len(rows), self.row_bytes))
        return next(index for index, value in enumerate(running) if value != self.checksums[start + index].tobytes())


def build_entry(grid: Grid, image: RankedImage, depth: float) -> tuple[Entry, Bytes2D]:
    """The entry of an image and the rows that go with it: of each tile the best ``depth`` share, at least one."""
    stored = np.array([math.ceil(valid * depth) for valid in image.valid], np.int64)
    kept = _prefixes(_starts(image.valid), stored.tolist())
    rows = image.rows if len(kept) == len(image.rows) else image.rows[kept]
    checksums = b"".join(
        value
        for start, count in zip(_starts(stored), stored.tolist(), strict=True)
        for value in _running_checksums(rows[start : start + count])
    )
    entry = Entry(
        grid=grid,
        valid=image.valid,
        stored=stored,
        positions=image.positions[kept],
        checksums=np.frombuffer(checksums, np.uint8).reshape(-1, _CHECKSUM_BYTES),
        saliency_cos=image.saliency_cos,
        relevance=image.relevance,
        dtype=image.dtype,
        feature_width=image.feature_width,
        row_bytes=rows.shape[1],
    )
    return entry, rows


def _starts(lengths: Indices) -> Indices:
    """Where each tile begins when tiles of these lengths stand one after the other."""
    starts: Indices = np.cumsum(lengths) - lengths
    return starts


def _prefixes(starts: Indices, counts: Sequence[int]) -> Indices:
    """Indices of the first ``counts[t]`` items of each tile, int64 [sum(counts)]."""
    return np.concatenate(
        [np.arange(start, start + count) for start, count in zip(starts, counts, strict=True)]
    ).astype(np.int64)


def _running_checksums(rows: Iterable[Any]) -> Iterator[bytes]:
    """Of each row together with those before it."""
    running = hashlib.sha256()
    for row in rows:
        running.update(row)
        yield running.digest()[:_CHECKSUM_BYTES]


def dump(entry: Entry, mark: Mark = plain_mark) -> bytes:
    """The entry's ``meta``: mark, length of the JSON header, header, arrays."""
    arrays = {name: np.asarray(getattr(entry, name), kind) for name, kind in _ARRAYS.items()}
    header = {
        "schema": SCHEMA,
        "plan": vars(entry.grid),
        "dtype": entry.dtype,
        "width": entry.feature_width,
        "row_bytes": entry.row_bytes,
        "shapes": {name: array.shape for name, array in arrays.items()},
    }
    text = json.dumps(header).encode()
    body = struct.pack("<I", len(text)) + text + b"".join(array.tobytes() for array in arrays.values())
    return mark(body) + body


def parse(meta: bytes, mark: Mark = plain_mark) -> Entry:
    """Read what ``dump`` wrote.

    Raises:
        CorruptEntryError: not the bytes that were written under this mark; another schema; or nothing that an entry
            can hold.
    """
    if len(meta) < _HEAD.size:
        raise CorruptEntryError(f"{len(meta)} bytes are too few")
    found, length = _HEAD.unpack_from(meta)
    if not hmac.compare_digest(found, mark(meta[_MARK_BYTES:])):
        raise CorruptEntryError("meta is damaged, or another entry's, or written under another HEROSERVE_CACHE_KEY")
    try:
        entry = _parse_body(meta, length)
    except CorruptEntryError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise CorruptEntryError(f"laid out as another version does ({type(error).__name__})") from error
    check_layout(entry)
    return entry


def _parse_body(meta: bytes, length: int) -> Entry:
    header = json.loads(meta[_HEAD.size : _HEAD.size + length])
    if header.get("schema") != SCHEMA:
        raise CorruptEntryError(f"schema {header.get('schema')!r:.20} in place of {SCHEMA}")
    arrays: dict[str, Any] = {}
    offset = _HEAD.size + length
    for name, kind in _ARRAYS.items():
        shape = [int(size) for size in header["shapes"][name]]
        if min(shape, default=0) < 0:
            raise ValueError(name)
        arrays[name] = np.frombuffer(meta, kind, math.prod(shape), offset).reshape(shape)
        offset += arrays[name].nbytes
    if offset != len(meta):
        raise CorruptEntryError(f"{len(meta)} bytes in place of {offset}")
    return Entry(
        grid=Grid(**header["plan"]),
        dtype=header["dtype"],
        feature_width=header["width"],
        row_bytes=header["row_bytes"],
        **arrays,
    )
