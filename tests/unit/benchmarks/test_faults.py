"""What the benchmark of faults counts, and what it does to a Redis."""

from __future__ import annotations

import hashlib
import io
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from redis import Redis

from benchmarks.faults.redis_faults import flip, swap
from benchmarks.faults.row import Row
from benchmarks.faults.traffic import Asked, Traffic, renamed
from scripts.redis_server import RedisServer, free_port


def test_a_renamed_picture_is_the_same_picture_under_another_digest():
    file = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(file, "PNG")
    files = {renamed(file.getvalue(), number) for number in range(3)} | {file.getvalue()}
    assert len({hashlib.sha256(data).hexdigest() for data in files}) == 4
    for data in files:
        with Image.open(io.BytesIO(data)) as image:
            image.load()  # checks every chunk
            assert np.asarray(image).tobytes() == bytes(range(48))


def test_a_row_tells_what_no_fault_may_do_from_what_it_may():
    asked = [
        Asked(new=False, sent=1.0, ended=1.1, status="OK"),
        Asked(new=True, sent=2.0, ended=9.0, status="OK"),
        Asked(new=False, sent=3.0, ended=3.1, status="UNAVAILABLE"),
        Asked(new=False, sent=4.0, ended=4.1, status="OK"),
    ]
    row = Row.of("name", "words", 0.5, asked, 7, well=True)
    assert (row.slowest_s, row.well_after_s, row.failed) == (7.0, 2.5, False)
    assert str(row) == "| words | 4 | 3 | 0 | 0 | 0 | 1 UNAVAILABLE | 7.0 | 2.5 | 7 |"
    for status in ("WRONG", "INTERNAL", "UNKNOWN", "HUNG", "LOST"):
        assert Row.of("name", "words", 0.5, [*asked, Asked(False, 5.0, 6.0, status)], 7, well=True).failed
    assert Row.of("name", "words", 0.5, asked, 7, well=False).failed


def test_it_is_well_when_nothing_recent_was_late_and_something_was_asked():
    traffic = Traffic("localhost:1", [], rate=1, deadline_s=1)
    assert not traffic.is_well(5)
    now = time.monotonic()
    traffic.asked.append(Asked(new=False, sent=now - 4, ended=now - 3.9, status="OK"))
    assert traffic.is_well(5)
    traffic.asked.append(Asked(new=False, sent=now - 3))  # not answered yet, and should be
    assert not traffic.is_well(5)
    traffic.asked[-1].ended, traffic.asked[-1].status = now - 2.9, "UNAVAILABLE"
    assert not traffic.is_well(5)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Redis]:
    server = RedisServer(free_port(), tmp_path)
    server.start()
    with Redis(port=server.port) as client:
        yield client
    server.stop()


def test_entries_are_spoilt_and_leases_are_not(client: Redis):
    names = [f"heroserve:id:{digest}:{part}" for digest in "abc" for part in ("meta", "rows")]
    before = {name: (name * 9).encode() for name in names}
    for name, value in before.items():
        client.set(name, value, ex=100)
    client.set("heroserve:id:a:lease", b"mine")
    swap(client, random.Random(0))
    swapped = {name: client.get(name) for name in names}
    assert all(swapped[name] != before[name] for name in names)
    assert sorted(swapped.values()) == sorted(before.values())
    flip(client, random.Random(0))
    for name in names:
        now, was = client.get(name), swapped[name]
        assert sum((one ^ other).bit_count() for one, other in zip(now, was, strict=True)) == 1
        assert 0 < client.ttl(name) <= 100
    assert client.get("heroserve:id:a:lease") == b"mine"
