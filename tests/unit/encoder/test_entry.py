"""A cache entry's bytes: what comes back is what was written, or is known not to be."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.encoder.cache import entry as entries
from services.encoder.cache.entry import CorruptEntryError, Entry, build_entry, dump, parse
from services.encoder.ranking.ranked_image import RankedImage
from services.families.grid import Grid
from tests.support.encoder_parts import GRID, random_image

examples = settings(max_examples=80, deadline=None, derandomize=True)
ARRAYS = ("valid", "stored", "positions", "checksums", "saliency_cos", "relevance")


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    rows, cols, side = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    top, left = draw(st.integers(0, rows * side - 1)), draw(st.integers(0, cols * side - 1))
    bottom, right = draw(st.integers(top + 1, rows * side)), draw(st.integers(left + 1, cols * side))
    size = st.integers(1, 10_000)
    return Grid(draw(size), draw(size), rows, cols, side, top, bottom, left, right)


@st.composite
def images(draw: st.DrawFn) -> tuple[Grid, RankedImage]:
    grid = draw(grids())
    dtype = draw(st.sampled_from(["float32", "float16", "bfloat16"]))
    parts = {"width": draw(st.integers(1, 9)), "dim": draw(st.integers(0, 4)), "seed": draw(st.integers(0, 999))}
    return grid, random_image(grid, dtype=dtype, **parts)


def check_equal(one: Entry, other: Entry) -> None:
    for name, value in vars(one).items():
        back = getattr(other, name)
        if isinstance(value, np.ndarray):
            assert back.dtype == value.dtype, name
            assert np.array_equal(back, value), name
        else:
            assert back == value, name


@examples
@given(made=images(), depth=st.floats(0.01, 1.0))
def test_round_trip(made: tuple[Grid, RankedImage], depth: float) -> None:
    entry, _ = build_entry(*made, depth)
    check_equal(entry, parse(dump(entry)))


@examples
@given(made=images(), data=st.data())
def test_any_prefix_of_every_tile_comes_back(made: tuple[Grid, RankedImage], data: st.DataObject) -> None:
    grid, image = made
    entry, rows = build_entry(grid, image, 1.0)
    counts = [data.draw(st.integers(0, int(valid))) for valid in image.valid]
    stored = rows.tobytes()

    chunks = [stored[start:stop] for start, stop in entry.spans(counts)]
    back = parse(dump(entry)).check(counts, chunks)

    starts = np.cumsum(image.valid) - image.valid
    expected = [image.rows[start : start + count] for start, count in zip(starts, counts, strict=True)]
    assert [tile.tolist() for tile in back] == [tile.tolist() for tile in expected]
    assert len(chunks) == sum(count > 0 for count in counts)
    assert np.array_equal(entry.positions[entry.kept(counts)], image.positions[entry.kept(counts)])


@examples
@given(made=images(), depth=st.floats(0.01, 0.99))
def test_depth_keeps_the_best_share(made: tuple[Grid, RankedImage], depth: float) -> None:
    grid, image = made
    entry, rows = build_entry(grid, image, depth)
    start = 0
    kept = []
    for tile, valid in enumerate(image.valid):
        assert entry.stored[tile] == math.ceil(valid * depth)
        assert not valid or 1 <= entry.stored[tile] <= valid
        kept += range(start, start + int(entry.stored[tile]))
        start += int(valid)
    assert np.array_equal(entry.positions, image.positions[kept])
    assert np.array_equal(rows, image.rows[kept])
    assert np.array_equal(entry.valid, image.valid)
    whole = entry.check(entry.stored.tolist(), chunks_of(entry, rows.tobytes()))
    assert np.array_equal(np.concatenate(whole), rows)
    assert [tile.tolist() for tile in entry.tiles(rows)] == [tile.tolist() for tile in whole]


def made(seed: int = 0) -> tuple[Entry, bytes]:
    entry, rows = build_entry(GRID, random_image(GRID, seed=seed), 1.0)
    return entry, rows.tobytes()


def chunks_of(entry: Entry, rows: bytes) -> list[bytes]:
    """A chunk a tile, of all rows; what is behind them goes with the last."""
    spans = entry.spans(entry.stored.tolist())
    return [rows[start:stop] for start, stop in spans[:-1]] + [rows[spans[-1][0] :]]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_flipped_bit_of_meta_is_noticed() -> None:
    meta = dump(made()[0])
    for bit in {*range(128), *range(0, 8 * len(meta), 13)}:
        with pytest.raises(CorruptEntryError):
            parse(flipped(meta, bit))


def test_every_flipped_bit_of_rows_is_noticed() -> None:
    entry, rows = made()
    counts = entry.valid.tolist()
    assert [len(tile) for tile in entry.check(counts, chunks_of(entry, rows))] == counts
    for bit in range(0, 8 * len(rows), 7):
        with pytest.raises(CorruptEntryError, match=f"row {bit // 8 // entry.row_bytes} "):
            entry.check(counts, chunks_of(entry, flipped(rows, bit)))


def test_truncated_or_padded() -> None:
    entry, rows = made()
    meta = dump(entry)
    for size in {*range(12), *range(12, len(meta), 9)}:
        with pytest.raises(CorruptEntryError):
            parse(meta[:size])
    with pytest.raises(CorruptEntryError):
        parse(meta + b"\0")
    counts = entry.valid.tolist()
    size, tiles = entry.row_bytes, chunks_of(entry, rows)
    short, long = chunks_of(entry, rows[:-1]), chunks_of(entry, rows + b"\0")
    # The last two are as many bytes as they should be, in other tiles.
    moved = [tiles[0][:-size], tiles[0][-size:] + tiles[1], *tiles[2:]]
    for chunks in ([], [b""], short, long, tiles[:1], [rows], [*tiles, b""], moved):
        with pytest.raises(CorruptEntryError, match=r"bytes of (a tile's )?rows"):
            entry.check(counts, chunks)


def test_rows_of_another_image_or_another_place() -> None:
    entry, rows = made()
    with pytest.raises(CorruptEntryError):
        entry.check(entry.valid.tolist(), chunks_of(entry, made(1)[1]))
    size = entry.row_bytes
    swapped = rows[size : 2 * size] + rows[:size] + rows[2 * size :]
    with pytest.raises(CorruptEntryError):
        entry.check(entry.valid.tolist(), chunks_of(entry, swapped))


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_another_schema(monkeypatch: pytest.MonkeyPatch, schema: Any) -> None:
    entry, _ = made()
    monkeypatch.setattr(entries, "SCHEMA", schema)
    meta = dump(entry)
    monkeypatch.undo()
    with pytest.raises(CorruptEntryError, match="schema"):
        parse(meta)


def sealed(text: bytes) -> bytes:
    """Any bytes under a right checksum, as another version might lay an entry out."""
    body = struct.pack("<I", len(text)) + text
    return struct.pack("<I", zlib.crc32(body)) + body


@pytest.mark.parametrize(
    "text",
    [b"", b"\x93NUMPY", b"[1]", b'{"schema": 1}', b'{"schema": 1, "shapes": {"valid": [9]}}'],
    ids=["empty", "no JSON", "no object", "no shapes", "no arrays"],
)
def test_other_layouts_under_a_right_checksum(text: bytes) -> None:
    with pytest.raises(CorruptEntryError):
        parse(sealed(text))
