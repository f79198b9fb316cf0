"""An entry proves whose bytes it holds: swapped, forged or damaged ones are misses, never wrong answers."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from heroserve.v1.encoder_pb2 import VisualTokens
from services.common.budget import Retention
from services.encoder.cache import entry as entries
from services.encoder.cache.entry import CorruptEntryError, Entry, build_entry, dump, parse
from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.seal import Seal
from services.encoder.job import EncodeJob
from services.encoder.pipeline import EncodePipeline
from services.encoder.plan import plan_tokens
from services.encoder.response import visual_tokens
from services.encoder.tower import VisionTower
from services.families.grid import Placement
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import GRID, InProcessTower, counted, encode_pipeline, random_image
from tests.support.pictures import encoded, picture

PICTURES = [encoded(picture(*size, seed=seed)) for seed, size in enumerate([(300, 200), (300, 200), (200, 300)])]
NAMES = [hashlib.sha256(data).hexdigest() for data in PICTURES]
KEY = "0123456789abcdef"
PLACEMENT = Placement(56, 14, 14, 70, 0, 112)


class Open(MemoryStore):
    """Whose strings a test reads and writes as it likes."""

    def __init__(self) -> None:
        super().__init__(1 << 30, 3600)

    def get(self, key: str) -> tuple[bytes, bytes]:
        return self._entries[key][1:]

    async def set(self, key: str, meta: bytes, rows: bytes) -> None:
        await self.put(key, meta, rows)


def job(index: int, scope: str = "") -> EncodeJob:
    return EncodeJob(NAMES[index], PICTURES[index], "What?", Retention(0.4), False, scope)


Service = Callable[..., EncodePipeline]


@pytest.fixture
def service(tower: VisionTower, tiler: AnyresTiler) -> Service:
    def make(store: Open, key: str = "", encoder_id: str = "id") -> EncodePipeline:
        return encode_pipeline(
            tower,
            tiler,
            encoder_id=encoder_id,
            cache=RankOnceCache(store, encoder_id, key=key),
            tower=InProcessTower(tower),
        )

    return make


def told(tokens: VisualTokens) -> bytes:
    copy = VisualTokens()
    copy.CopyFrom(tokens)
    copy.ClearField("cache")
    copy.ClearField("timings")
    copy.ClearField("encoder_id")
    return copy.SerializeToString(deterministic=True)


async def test_swapped_entries_are_misses_and_are_rewritten(service: Service) -> None:
    store = Open()
    knows = service(store)
    right = [told(await knows.visual_tokens(job(index))) for index in range(3)]
    held = [store.get(f"id:{name}") for name in NAMES]
    for meta, rows in ((1, 1), (1, 0), (0, 1), (2, 2), (0, 2)):
        await store.set(f"id:{NAMES[0]}", held[meta][0], held[rows][1])
        unusable = counted("heroserve_cache_unusable_total")
        # Whoever knows the entry goes by the rows alone.
        answer = await knows.visual_tokens(job(0))
        assert (told(answer), answer.cache == VisualTokens.HIT) == (right[0], rows == 0)
        await store.set(f"id:{NAMES[0]}", held[meta][0], held[rows][1])
        pipeline = service(store)
        answer = await pipeline.visual_tokens(job(0))
        assert (told(answer), answer.cache) == (right[0], VisualTokens.MISS)
        assert counted("heroserve_cache_unusable_total") == unusable + (1 if rows == 0 else 2)
        again = await pipeline.visual_tokens(job(0))
        assert (told(again), again.cache) == (right[0], VisualTokens.HIT)


@pytest.mark.parametrize("what", ["another encoder", "another key", "another scope"])
async def test_entries_of_others_under_our_name(service: Service, what: str) -> None:
    store, foreign = Open(), Open()
    scope = "s" if what == "another scope" else ""
    theirs = service(foreign, KEY if what == "another key" else "", "other" if what == "another encoder" else "id")
    await theirs.visual_tokens(job(0, scope))
    ((_, meta, rows),) = foreign._entries.values()
    await store.set(f"id:{NAMES[0]}", meta, rows)
    assert (await service(store).visual_tokens(job(0))).cache == VisualTokens.MISS
    assert (await service(store).visual_tokens(job(0))).cache == VisualTokens.HIT


async def test_rows_with_the_checksum_of_before_are_found(service: Service) -> None:
    """CRC-32 told damage; whoever changes four bytes more makes it right again."""
    store = Open()
    pipeline = service(store)
    right = told(await pipeline.visual_tokens(job(0)))
    meta, rows = store.get(f"id:{NAMES[0]}")
    entry = parse(meta, partial(Seal("", "id").mark, f"id:{NAMES[0]}"))
    size = entry.row_bytes
    forged = bytearray(rows)
    forged[0] ^= 1
    forged[size - 4 : size] = _crc_suffix(bytes(forged[: size - 4]), zlib.crc32(rows[:size]))
    assert zlib.crc32(forged[:size]) == zlib.crc32(rows[:size])
    await store.set(f"id:{NAMES[0]}", meta, bytes(forged))
    answer = await pipeline.visual_tokens(job(0))
    assert (told(answer), answer.cache) == (right, VisualTokens.MISS)


def _crc_suffix(data: bytes, wanted: int) -> bytes:
    """Four bytes that give ``data`` this CRC-32: it is linear, so by elimination."""
    base = zlib.crc32(data + bytes(4))
    columns = [zlib.crc32(data + (1 << bit).to_bytes(4, "little")) ^ base for bit in range(32)]
    found, left = 0, wanted ^ base
    basis: dict[int, tuple[int, int]] = {}
    for bit, column in enumerate(columns):
        mask = 1 << bit
        while column and (top := column.bit_length() - 1) in basis:
            column, mask = column ^ basis[top][0], mask ^ basis[top][1]
        if column:
            basis[column.bit_length() - 1] = (column, mask)
    while left:
        column, mask = basis[left.bit_length() - 1]
        left, found = left ^ column, found ^ mask
    return found.to_bytes(4, "little")


# What a meta may say that no entry holds, from the right one; under a right mark, for the derived key is no secret.
FORGERIES: dict[str, Callable[[Entry], dict[str, Any]]] = {
    "more valid": lambda e: {"valid": e.valid + 1},
    "fewer valid": lambda e: {"valid": e.valid - 1},
    "negative stored": lambda e: {"stored": np.concatenate([[-1], e.stored[1:]])},
    "more stored": lambda e: {"stored": e.stored + 1},
    "fewer stored": lambda e: {"stored": e.stored - 1},
    "a tile less": lambda e: {"valid": e.valid[:-1], "stored": e.stored[:-1]},
    "no tile": lambda e: {"valid": e.valid[:0], "stored": e.stored[:0]},
    "two dimensions": lambda e: {"valid": e.valid[None]},
    "positions twice": lambda e: {"positions": np.zeros_like(e.positions)},
    "positions outside": lambda e: {"positions": e.positions + np.uint16(60_000)},
    "positions of padding": lambda e: {"grid": replace(e.grid, top=e.grid.top + 1, bottom=e.grid.bottom + 1)},
    "too few positions": lambda e: {"positions": e.positions[:-1]},
    "too few checksums": lambda e: {"checksums": e.checksums[:-1]},
    "short checksums": lambda e: {"checksums": e.checksums[:, :8]},
    "another dtype": lambda e: {"dtype": "float16"},
    "an unknown dtype": lambda e: {"dtype": "float64"},
    "a dtype that is no word": lambda e: {"dtype": ["float32"]},
    "a wider row": lambda e: {"feature_width": e.feature_width + 1},
    "no width": lambda e: {"feature_width": 0, "row_bytes": 0},
    "a width that is true": lambda e: {"feature_width": True},
    "row_bytes that is a fraction": lambda e: {"row_bytes": e.row_bytes + 0.0},
    "row_bytes below nothing": lambda e: {"row_bytes": -e.row_bytes},
    "terms of fewer tiles": lambda e: {"saliency_cos": e.saliency_cos[:-1]},
    "terms of more tiles": lambda e: {"relevance": np.concatenate([e.relevance, e.relevance])},
    "terms that are no number": lambda e: {"saliency_cos": e.saliency_cos * np.nan},
    "terms without an end": lambda e: {"relevance": e.relevance + np.inf},
    "a grid of nothing": lambda e: {"grid": replace(e.grid, rows=0)},
    "a grid below nothing": lambda e: {"grid": replace(e.grid, rows=-1, cols=-1)},
    "a grid of the world": lambda e: {"grid": replace(e.grid, rows=10**6, cols=10**6)},
    "a side of the world": lambda e: {"grid": replace(e.grid, side=10**9)},
    "another side": lambda e: {"grid": replace(e.grid, side=e.grid.side * 2)},
    "a window inside out": lambda e: {"grid": replace(e.grid, left=e.grid.right)},
    "a window outside": lambda e: {"grid": replace(e.grid, right=10**6)},
    "a grid of words": lambda e: {"grid": replace(e.grid, width="100")},
    "a grid of fractions": lambda e: {"grid": replace(e.grid, width=100.5)},
    "a picture too wide for the wire": lambda e: {"grid": replace(e.grid, width=1 << 40)},
    "a picture below nothing": lambda e: {"grid": replace(e.grid, height=-1)},
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_meta_under_a_right_mark_is_a_miss(service: Service, forgery: str) -> None:
    store, name = Open(), f"id:{NAMES[0]}"
    right = told(await service(store).visual_tokens(job(0)))
    meta, rows = store.get(name)
    mark = partial(Seal("", "id").mark, name)
    entry = parse(meta, mark)
    forged = dump(replace(entry, **FORGERIES[forgery](entry)), mark)
    assert forged != meta
    await store.set(name, forged, rows)
    pipeline = service(store)
    answer = await pipeline.visual_tokens(job(0))
    assert (told(answer), answer.cache) == (right, VisualTokens.MISS)
    assert (await pipeline.visual_tokens(job(0))).cache == VisualTokens.HIT


async def test_an_embedding_that_no_question_has(service: Service) -> None:
    cache = RankOnceCache(MemoryStore(1 << 20, 60), "id")
    await cache.write("a", *build_entry(GRID, random_image(GRID, dim=3), 1.0))
    assert await cache.entry("a", 4, 3) is not None
    assert await cache.entry("a", 4, None) is not None
    assert await cache.entry("a", 4, 5) is None
    assert await cache.entry("a", 5, 3) is None


HEADERS: list[bytes] = [
    b"",
    b"[]",
    b"3",
    b"null",
    b"{",
    b"[" * 100_000,
    b'{"schema": 3}',
    b'{"schema": 3, "shapes": 7}',
    b'{"schema": 3, "shapes": {"valid": [1e300]}}',
    b'{"schema": 3, "shapes": {"valid": [-1, -8]}}',
    b'{"schema": 3, "shapes": {"valid": [99999999999999999999]}}',
    b'{"schema": 3, "shapes": {"valid": ["x"]}}',
    b'{"schema": {"schema": 3}}',
    b"\xff\xfe",
    b'{"schema": 3, "plan": {"self": 1}}',
]


@pytest.mark.parametrize("text", HEADERS, ids=lambda text: text[:24].decode("latin1"))
@pytest.mark.parametrize("length", ["right", "too long", "the longest"])
def test_headers_of_nobodys(text: bytes, length: str) -> None:
    size = {"right": len(text), "too long": len(text) + 1, "the longest": 2**32 - 1}[length]
    body = struct.pack("<I", size) + text
    with pytest.raises(CorruptEntryError):
        parse(entries.plain_mark(body) + body)


def test_more_behind_the_arrays() -> None:
    body = dump(build_entry(GRID, random_image(GRID), 1.0)[0])[16:] + b"x"
    with pytest.raises(CorruptEntryError):
        parse(entries.plain_mark(body) + body)


def test_a_schema_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = build_entry(GRID, random_image(GRID), 1.0)[0]
    monkeypatch.setattr(entries, "SCHEMA", entries.SCHEMA + 1)
    meta = dump(entry)
    monkeypatch.undo()
    with pytest.raises(CorruptEntryError, match="schema"):
        parse(meta)


def harmed(rng: random.Random, good: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> tuple[bytearray, bytearray]:
    """Meta and rows with up to three harms: flipped, cut, longer, overwritten, joined or replaced by another's."""
    strings = [bytearray(good[0]), bytearray(good[1])]
    for _ in range(rng.randint(1, 3)):
        which = rng.random() < 0.4
        target, at = strings[which], rng.randrange(len(strings[which]))
        match rng.randrange(6):
            case 0:
                target[at] ^= 1 << rng.randrange(8)
            case 1:
                del target[at + 1 :]
            case 2:
                target += rng.randbytes(rng.randint(1, 50))
            case 3:
                target[at : at + 8] = rng.randbytes(8)
            case 4:
                target[at:] = other[which][at:]
            case _:
                target[:] = other[which]
    return strings[0], strings[1]


async def test_thousands_of_harmed_entries_give_no_wrong_answer(tower: VisionTower) -> None:
    store = Open()
    cache = RankOnceCache(store, "id")
    question = np.ones(3, np.float32)
    grid = replace(GRID, width=101)
    await cache.write("a", *build_entry(GRID, random_image(GRID), 1.0))
    await cache.write("b", *build_entry(grid, random_image(grid, seed=1), 1.0))
    good, other = store.get("id:a"), store.get("id:b")

    async def answer() -> bytes | None:
        entry = await cache.entry("a", GRID.side, len(question))
        if entry is None:
            return None
        plan = plan_tokens(entry, question, Retention(0.6), tower.hero)
        rows = await cache.rows("a", entry, plan.counts)
        if rows is None:
            return None
        return told(visual_tokens("a", "id", entry, plan, rows, VisualTokens.HIT, placement=PLACEMENT, explain=True))

    right = await answer()
    assert right is not None
    rng = random.Random(7)
    outcomes = {"hit": 0, "miss": 0, "forged": 0}
    for _ in range(4000):
        meta, rows = harmed(rng, good, other)
        # The derived key is for everybody to know: such a one may be believed, and breaks nothing.
        if forged := rng.random() < 0.5:
            meta[:16] = Seal("", "id").mark("id:a", bytes(meta[16:]))
        await store.set("id:a", bytes(meta), bytes(rows))
        found = await answer()
        if found is None:
            outcomes["miss"] += 1
        elif found == right:
            outcomes["hit"] += 1
        else:
            assert forged
            outcomes["forged"] += 1
    # Harm to rows that nobody asks for is not seen.
    assert outcomes["miss"] > 3000
    assert min(outcomes.values()) > 0


async def test_with_a_key_nobody_forges(service: Service) -> None:
    store, name = Open(), f"id:{NAMES[0]}"
    pipeline = service(store, KEY)
    right = told(await pipeline.visual_tokens(job(0)))
    await pipeline.visual_tokens(job(1))
    good, other = store.get(name), store.get(f"id:{NAMES[1]}")
    for key in ("", "0123456789abcdeF", KEY[:-1]):
        for body in (other[0][16:], good[0][16:].replace(b'"left"', b'"LEFT"')):
            await store.set(name, Seal(key, "id").mark(name, body) + body, other[1])
            answer = await pipeline.visual_tokens(job(0))
            assert (told(answer), answer.cache) == (right, VisualTokens.MISS)
    # The very same, under the right key: only that makes the difference.
    await store.set(name, Seal(KEY, "id").mark(name, other[0][16:]) + other[0][16:], other[1])
    assert (await pipeline.visual_tokens(job(0))).cache == VisualTokens.HIT


def test_marks_are_of_name_and_body_and_not_of_both_joined() -> None:
    seal = Seal("", "id")
    assert seal.mark("ab", b"c") != seal.mark("a", b"bc")
    assert Seal("id", "other").mark("a", b"b") != Seal("", "id").mark("a", b"b")
