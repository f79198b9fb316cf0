"""A store that failed is left alone, and one caller at a time finds out whether it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.encoder.cache.memory import MemoryStore
from services.encoder.cache.outage import Outage
from services.encoder.cache.rank_once import RankOnceCache
from services.encoder.cache.store import StoreError
from tests.support.encoder_parts import Clock


def test_after_the_pause_one_caller_is_admitted():
    clock = Clock()
    outage = Outage(clock)
    assert outage.admits()
    assert outage.admits()
    outage.begin(StoreError("gone"))
    assert not outage.admits()
    clock.now += 2.1
    assert [outage.admits() for _ in range(5)] == [True, False, False, False, False]
    clock.now += 2.1
    assert outage.admits()
    outage.end()
    assert [outage.admits() for _ in range(3)] == [True] * 3


class Hanging(MemoryStore):
    """Answers after its time-out, with an error, and counts who asked."""

    def __init__(self) -> None:
        super().__init__(10**6, 60)
        self.asked = 0
        self.broken = True

    async def meta(self, key: str) -> bytes | None:
        self.asked += 1
        if self.broken:
            await asyncio.sleep(0.05)
            raise StoreError("time-out")
        return await super().meta(key)

    async def ranges(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        raise AssertionError("nothing is stored")


async def test_a_crowd_does_not_wait_for_a_hanging_store():
    clock, store = Clock(), Hanging()
    cache = RankOnceCache(store, "encoder", clock)
    await cache.entry("a")
    assert store.asked == 1
    clock.now += 2.1
    await asyncio.gather(*(cache.entry("a") for _ in range(20)))
    assert store.asked == 2
    store.broken = False
    clock.now += 2.1
    await cache.entry("a")
    await asyncio.gather(*(cache.entry("a") for _ in range(20)))
    assert store.asked == 23
