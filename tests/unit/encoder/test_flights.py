"""Requests that meet: an image that several miss at once is encoded once, and nobody suffers for another."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextvars import ContextVar
from typing import Any

import pytest

from heroserve.v1.encoder_pb2 import VisualTokens
from services.common import context
from services.common.budget import Retention
from services.common.context import RequestContext
from services.common.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted
from services.encoder.begun import unless_begun
from services.encoder.cache import single_flight
from services.encoder.cache.single_flight import SingleFlight
from services.encoder.job import EncodeJob
from services.encoder.pipeline import EncodePipeline
from services.encoder.tower import VisionTower
from services.families.llava_next.tiles import AnyresTiler
from tests.support.encoder_parts import InProcessTower, decoders, encode_pipeline
from tests.support.files import progressive_jpeg
from tests.support.pictures import encoded, picture
from tests.support.waiting import until_true

# Seconds.
SLOW = progressive_jpeg(6400, 7808, 19)
ONE, OTHER = encoded(picture(300, 200)), encoded(picture(300, 200, 1))


def job(data: bytes = ONE, retention: float = 0.2) -> EncodeJob:
    return EncodeJob(hashlib.sha256(data).hexdigest(), data, "What?", Retention(retention), False)


@pytest.fixture
def gated(tower: VisionTower) -> InProcessTower:
    made = InProcessTower(tower)
    made.gate = asyncio.Event()
    return made


@pytest.fixture
def pipeline(tower: VisionTower, tiler: AnyresTiler, gated: InProcessTower) -> EncodePipeline:
    return encode_pipeline(tower, tiler, decoders=decoders(50_000_000), tower=gated)


def start(pipeline: EncodePipeline, *jobs: EncodeJob) -> list[asyncio.Task[VisualTokens]]:
    return [asyncio.create_task(pipeline.visual_tokens(one)) for one in jobs]


async def in_the_tower(gated: InProcessTower, calls: int) -> None:
    """Wait until so many passes have begun, and some more, in case there are too many."""
    for _ in range(calls):
        await asyncio.wait_for(gated.begun.acquire(), 60)
    await asyncio.sleep(0.05)
    assert gated.calls == calls


async def test_one_image_once(pipeline: EncodePipeline, gated: InProcessTower) -> None:
    tasks = start(pipeline, job(), job(retention=0.6), job(retention=1.0))
    await in_the_tower(gated, 1)
    gated.gate.set()
    answers = await asyncio.gather(*tasks)
    assert gated.calls == 1
    assert [answer.cache for answer in answers] == [VisualTokens.MISS] * 3
    kept = [answer.savings.kept for answer in answers]
    assert kept == sorted(set(kept))
    for answer, retention in zip(answers, (0.2, 0.6, 1.0), strict=True):
        again = await pipeline.visual_tokens(job(retention=retention))
        assert again.cache == VisualTokens.HIT
        assert again.features == answer.features


async def test_two_images_twice_and_at_the_same_time(pipeline: EncodePipeline, gated: InProcessTower) -> None:
    tasks = start(pipeline, job(ONE), job(OTHER))
    await in_the_tower(gated, 2)
    gated.gate.set()
    one, other = await asyncio.gather(*tasks)
    assert one.image_digest != other.image_digest
    assert one.features.data != other.features.data


@pytest.mark.parametrize("leaves", [0, 1])
async def test_one_waiter_leaves(pipeline: EncodePipeline, gated: InProcessTower, leaves: int) -> None:
    tasks = start(pipeline, job(), job())
    await in_the_tower(gated, 1)
    tasks[leaves].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[leaves]
    gated.gate.set()
    assert (await tasks[1 - leaves]).cache == VisualTokens.MISS
    assert gated.calls == 1


async def test_all_leave_a_pass_that_has_begun_and_it_ends(pipeline: EncodePipeline, gated: InProcessTower) -> None:
    tasks = start(pipeline, job(), job())
    await in_the_tower(gated, 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    (late,) = start(pipeline, job())
    await asyncio.sleep(0.02)
    gated.gate.set()
    assert (await late).savings.kept > 0
    assert gated.calls == 1
    assert (await pipeline.visual_tokens(job())).cache == VisualTokens.HIT


async def test_a_failure_is_everybodys_but_not_the_next_ones(pipeline: EncodePipeline, gated: InProcessTower) -> None:
    gated.failures = 1
    tasks = start(pipeline, job(), job(), job(OTHER))
    await in_the_tower(gated, 2)
    gated.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, RuntimeError) for outcome in outcomes] in ([True, True, False], [False, False, True])
    failed = ONE if isinstance(outcomes[0], RuntimeError) else OTHER
    assert (await pipeline.visual_tokens(job(failed))).cache == VisualTokens.MISS
    assert gated.calls == 3


async def test_a_bad_image_fails_all_who_sent_it(pipeline: EncodePipeline) -> None:
    outcomes = await asyncio.gather(*start(pipeline, job(b"bad"), job(b"bad")), return_exceptions=True)
    assert all(isinstance(outcome, InvalidArgument) for outcome in outcomes)


async def test_nobody_waits_before_the_tower(pipeline: EncodePipeline, gated: InProcessTower) -> None:
    """While its file is decoded, and while it waits for that: neither goes on, and the tower never hears of it."""
    tasks = start(pipeline, job(SLOW), job(SLOW), job(ONE))
    await asyncio.sleep(0.3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until_true(lambda: not pipeline._flights._flights)
    assert gated.calls == 0
    (late,) = start(pipeline, job(OTHER))
    await in_the_tower(gated, 1)
    gated.gate.set()
    assert (await late).cache == VisualTokens.MISS


async def test_a_deadline_ends_who_waits_and_then_the_work(pipeline: EncodePipeline, gated: InProcessTower) -> None:
    async def ask(seconds: float) -> VisualTokens:
        with context.serving(RequestContext(deadline=time.monotonic() + seconds)):
            return await pipeline.visual_tokens(job(SLOW))

    # The first one's is not the work's, whatever it was begun with.
    short, long = asyncio.create_task(ask(0.3)), asyncio.create_task(ask(300))
    with pytest.raises(DeadlineExceeded):
        await short
    gated.gate.set()
    assert (await long).savings.kept > 0
    with pytest.raises(DeadlineExceeded), context.serving(RequestContext(deadline=time.monotonic() + 0.2)):
        await pipeline.visual_tokens(job(SLOW + b"0"))
    await until_true(lambda: not pipeline._flights._flights)
    assert gated.calls == 1


async def test_two_hundred_who_do_not_wait_leave_nothing(pipeline: EncodePipeline, gated: InProcessTower) -> None:
    gated.gate.set()
    files = [encoded(picture(300, 200, seed), "JPEG") for seed in range(20)]

    async def ask(number: int) -> VisualTokens:
        with context.serving(RequestContext(deadline=time.monotonic() + 0.01)):
            return await pipeline.visual_tokens(job(files[number % 20] + b"%d" % number))

    outcomes = await asyncio.gather(*(ask(number) for number in range(200)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {DeadlineExceeded, VisualTokens}
    await until_true(lambda: not pipeline._flights._flights)
    assert gated.calls <= 2 + sum(isinstance(outcome, VisualTokens) for outcome in outcomes)


class TestSingleFlight:
    async def test_shared_while_it_runs_and_no_longer(self) -> None:
        flights: SingleFlight[int] = SingleFlight(10, 1000)
        runs = 0

        async def work() -> int:
            nonlocal runs
            runs += 1
            await asyncio.sleep(0.01)
            return runs

        assert await asyncio.gather(*(flights.run("a", work) for _ in range(5))) == [1] * 5
        assert await flights.run("a", work) == 2
        assert flights._flights == {}

    async def test_keys_are_apart(self) -> None:
        flights: SingleFlight[str] = SingleFlight(10, 1000)

        async def work(key: str) -> str:
            await asyncio.sleep(0.01)
            return key

        keys = ["a", "b", "a", "c"]
        assert await asyncio.gather(*(flights.run(key, lambda key=key: work(key)) for key in keys)) == keys

    async def test_failures_are_not_kept(self) -> None:
        flights: SingleFlight[int] = SingleFlight(10, 1000)

        async def fail() -> int:
            await asyncio.sleep(0.01)
            raise LookupError("no")

        outcomes = await asyncio.gather(*(flights.run("a", fail) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LookupError] * 3

        async def succeed() -> int:
            return 1

        assert await flights.run("a", succeed) == 1

    async def test_a_failure_nobody_waits_for_is_not_reported_as_lost(self) -> None:
        flights: SingleFlight[int] = SingleFlight(10, 1000)
        reports: list[Any] = []
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: reports.append(context))
        try:
            release = asyncio.Event()

            async def fail() -> int:
                await release.wait()
                raise LookupError("no")

            waiter = asyncio.create_task(flights.run("a", fail))
            await asyncio.sleep(0.01)
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            release.set()
            await asyncio.sleep(0.02)
            import gc

            gc.collect()
            await asyncio.sleep(0)
        finally:
            loop.set_exception_handler(before)
        assert reports == []
        assert flights._flights == {}

    async def test_nobody_waits(self) -> None:
        flights: SingleFlight[int] = SingleFlight(10, 1000)
        ended = asyncio.Event()

        async def work() -> int:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            return 1

        waiters = [asyncio.create_task(flights.run("a", work)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for waiter in waiters[:2]:
            waiter.cancel()
        await asyncio.sleep(0.01)
        assert not ended.is_set()
        waiters[2].cancel()
        await asyncio.wait_for(ended.wait(), 10)
        await asyncio.gather(*waiters, return_exceptions=True)
        assert flights._flights == {}

    async def test_who_comes_when_all_have_left_begins_anew(self) -> None:
        flights: SingleFlight[int] = SingleFlight(10, 1000)
        runs = 0

        async def work() -> int:
            nonlocal runs
            runs += 1
            try:
                await asyncio.sleep(60 if runs == 1 else 0)
            finally:
                # As what must be given back.
                await asyncio.sleep(0.05)
            return runs

        first = asyncio.create_task(flights.run("a", work))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert flights._flights
        assert await flights.run("a", work) == 2

    async def test_work_that_has_begun_is_joined_though_all_had_left(self) -> None:
        flights: SingleFlight[int] = SingleFlight(10, 1000)
        begun, end = asyncio.Event(), asyncio.Event()
        runs = 0

        async def work() -> int:
            nonlocal runs
            runs += 1
            await end.wait()
            return runs

        async def ask() -> int:
            return await flights.run("a", lambda: unless_begun(work(), begun))

        begun.set()
        for _ in range(3):
            leaving = asyncio.create_task(ask())
            await asyncio.sleep(0.01)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        joining = asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        end.set()
        assert await joining == 1

    async def test_work_that_has_not_begun_is_called_off(self) -> None:
        flights: SingleFlight[int] = SingleFlight(10, 1000)
        called_off = asyncio.Event()

        async def work() -> int:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                called_off.set()
                raise
            return 1

        leaving = asyncio.create_task(flights.run("a", lambda: unless_begun(work(), asyncio.Event())))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.wait_for(called_off.wait(), 10)
        await asyncio.gather(leaving, return_exceptions=True)

    async def test_work_that_loses_what_cancels_it_is_told_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(single_flight, "_AGAIN_S", 0.01)
        flights: SingleFlight[int] = SingleFlight(10, 1000)
        lost = 0

        async def work() -> int:
            nonlocal lost
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    lost += 1
                    if lost == 4:
                        raise

        leaving = asyncio.create_task(flights.run("a", work))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await until_true(lambda: not flights._flights)
        assert lost == 4

    async def test_no_more_than_fit(self) -> None:
        flights: SingleFlight[str] = SingleFlight(3, 100)
        gate = asyncio.Event()

        async def work() -> str:
            await gate.wait()
            return "done"

        def begin(key: str, size: int) -> asyncio.Task[str]:
            return asyncio.create_task(flights.run(key, work, size=size))

        # One alone may be of any size; the next must fit beside it.
        large = begin("large", 1000)
        await asyncio.sleep(0.01)
        with pytest.raises(ResourceExhausted, match="try again later") as full:
            await begin("small", 1)
        assert full.value.retry_after_s
        # Who joins begins nothing.
        joined = begin("large", 1000)
        gate.set()
        assert await asyncio.gather(large, joined) == ["done", "done"]

        gate.clear()
        three = [begin(key, 33) for key in "abc"]
        await asyncio.sleep(0.01)
        with pytest.raises(ResourceExhausted, match="3 new images"):
            await begin("d", 0)
        three[0].cancel()
        await asyncio.gather(three[0], return_exceptions=True)
        await until_true(lambda: len(flights._flights) == 2)
        last = begin("d", 34)
        await asyncio.sleep(0.01)
        gate.set()
        assert await asyncio.gather(*three[1:], last) == ["done"] * 3

    async def test_a_framework_that_ends_what_a_request_began_does_not_reach_it(self) -> None:
        """Ray Serve knows by a variable what belongs to a request, and ends that with it."""
        theirs: ContextVar[str] = ContextVar("theirs", default="")
        flights: SingleFlight[tuple[str, str]] = SingleFlight(10, 1000)

        async def work() -> tuple[str, str]:
            return theirs.get(), context.current().id

        theirs.set("a request")
        with context.serving(RequestContext(id="ours")):
            assert await flights.run("a", work) == ("", "ours")
