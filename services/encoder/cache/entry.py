"""An entry's bytes: how a ranked image is written, and how a reader knows that it got back what was written."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from services.encoder.identity import SCHEMA
from services.families.grid import Grid

if TYPE_CHECKING:
    from services.common.rows import Bytes2D, RowDtype
    from services.encoder.ranking.ranked_image import RankedImage

Indices = np.ndarray[Any, np.dtype[np.int64]]

_HEAD = struct.Struct("<II")  # CRC-32 of what follows it, length of the JSON
_ARRAYS = {
    "valid": "<i8",
    "stored": "<i8",
    "positions": "<u2",
    "checksums": "<u4",
    "saliency_cos": "<f4",
    "relevance": "<f4",
}


class CorruptEntryError(ValueError):
    """The bytes are not an entry that this version wrote."""


@dataclass(frozen=True)
class Entry:
    """A cached image without its rows. n is the number of rows stored, over all tiles.

    Args:
        grid: how the image was cut.
        valid: int64 [1 + K], patches of each tile that are not padding.
        stored: int64 [1 + K], how many of them are in ``rows``, best first.
        positions: uint16 [n], patch index within its tile, ranked.
        checksums: uint32 [n], CRC-32 of each row.
        saliency_cos, relevance, dtype, feature_width: as in ``RankedImage``.
    """

    grid: Grid
    valid: np.ndarray[Any, np.dtype[np.int64]]
    stored: np.ndarray[Any, np.dtype[np.int64]]
    positions: np.ndarray[Any, np.dtype[np.uint16]]
    checksums: np.ndarray[Any, np.dtype[np.uint32]]
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

    def check(self, counts: Sequence[int], chunks: Sequence[bytes]) -> Bytes2D:
        """The rows of ``spans(counts)``, uint8 [sum(counts), row_bytes].

        Raises:
            CorruptEntryError: they are short, or not what was written.
        """
        data = b"".join(chunks)
        size, wanted = self.row_bytes, self.kept(counts)
        if len(data) != len(wanted) * size:
            raise CorruptEntryError(f"{len(data)} bytes of rows in place of {len(wanted) * size}")
        view = memoryview(data)
        for index, checksum in enumerate(self.checksums[wanted]):
            if zlib.crc32(view[index * size : (index + 1) * size]) != checksum:
                raise CorruptEntryError(f"row {wanted[index]} fails its checksum")
        return np.frombuffer(data, np.uint8).reshape(-1, size)


def build_entry(grid: Grid, image: RankedImage, depth: float) -> tuple[Entry, Bytes2D]:
    """The entry of an image and the rows that go with it: of each tile the best ``depth`` share, at least one."""
    stored = np.array([math.ceil(valid * depth) for valid in image.valid], np.int64)
    kept = _prefixes(_starts(image.valid), stored.tolist())
    rows = image.rows if len(kept) == len(image.rows) else image.rows[kept]
    checksums = np.fromiter((zlib.crc32(row) for row in rows), np.uint32, len(rows))
    entry = Entry(
        grid=grid,
        valid=image.valid,
        stored=stored,
        positions=image.positions[kept],
        checksums=checksums,
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


def dump(entry: Entry) -> bytes:
    """The entry's ``meta``: checksum, JSON header, arrays."""
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
    body = text + b"".join(array.tobytes() for array in arrays.values())
    length = struct.pack("<I", len(text))
    return struct.pack("<I", zlib.crc32(length + body)) + length + body


def parse(meta: bytes) -> Entry:
    """Read what ``dump`` wrote.

    Raises:
        CorruptEntryError: another schema, or not the bytes that were written.
    """
    if len(meta) < _HEAD.size:
        raise CorruptEntryError(f"{len(meta)} bytes are too few")
    checksum, length = _HEAD.unpack_from(meta)
    if zlib.crc32(memoryview(meta)[4:]) != checksum:
        raise CorruptEntryError("meta fails its checksum")
    try:
        return _parse_body(meta, length)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptEntryError(f"laid out as another version does ({error!r})") from error


def _parse_body(meta: bytes, length: int) -> Entry:
    header = json.loads(meta[_HEAD.size : _HEAD.size + length])
    if header.get("schema") != SCHEMA:
        raise CorruptEntryError(f"schema {header.get('schema')} in place of {SCHEMA}")
    arrays: dict[str, Any] = {}
    offset = _HEAD.size + length
    for name, kind in _ARRAYS.items():
        shape = header["shapes"][name]
        arrays[name] = np.frombuffer(meta, kind, math.prod(shape), offset).reshape(shape)
        offset += arrays[name].nbytes
    return Entry(
        grid=Grid(**header["plan"]),
        dtype=header["dtype"],
        feature_width=header["width"],
        row_bytes=header["row_bytes"],
        **arrays,
    )
