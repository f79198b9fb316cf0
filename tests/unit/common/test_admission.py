"""Turns, the line and who is refused: by the clock of the event loop's own machine, with margins that it can't miss."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY

from services.common.admission import Admission, Line
from services.common.context import RequestContext
from services.common.errors import DeadlineExceeded, ResourceExhausted

LINE = Line(requests=100, seconds=1000, size=1000)


def request(seconds: float = 1000, key: str = "", scope: str = "") -> RequestContext:
    return RequestContext(deadline=time.monotonic() + seconds, key=key, scope=scope)


# asyncio holds no task that nobody else holds, and one that is collected gives its turn away.
_made: list[Worker] = []


@pytest.fixture(autouse=True)
async def left() -> AsyncIterator[None]:
    """Whoever still works or waits at a test's end goes, and the next one begins with nobody in line."""
    yield
    for worker in _made:
        worker.task.cancel()
    await asyncio.gather(*(worker.task for worker in _made), return_exceptions=True)
    _made.clear()


class Worker:
    """Holds a turn until it is told to end."""

    def __init__(self, admission: Admission, asked: RequestContext | None = None, size: int = 0) -> None:
        self.admission = admission
        self.asked = asked or request()
        self.size = size
        self.end = asyncio.Event()
        self.working = False
        self.task = asyncio.ensure_future(self._work())
        _made.append(self)

    async def _work(self) -> None:
        async with self.admission.turn(self.asked, self.size):
            self.working = True
            await self.end.wait()
        self.working = False


def in_line() -> float | None:
    return REGISTRY.get_sample_value("heroserve_requests_waiting", {"where": "line"})


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def workers(admission: Admission, count: int, **given: int) -> list[Worker]:
    made = [Worker(admission, **given) for _ in range(count)]
    await settle()
    return made


async def took(admission: Admission, seconds: float) -> None:
    """Let the admission see a request that holds its turn for so long."""
    async with admission.turn(request()):
        await asyncio.sleep(seconds)


async def test_turns_are_taken_in_order_and_never_more_than_slots():
    admission = Admission(2, LINE)
    line = await workers(admission, 5)
    assert [worker.working for worker in line] == [True, True, False, False, False]
    assert in_line() == 3
    line[1].end.set()
    await settle()
    assert [worker.working for worker in line] == [True, False, True, False, False]
    assert in_line() == 2
    for worker in line:
        worker.end.set()
    await asyncio.gather(*(worker.task for worker in line))
    assert line[4].asked.stages.seconds["queue"] > 0
    assert "queue" not in line[0].asked.stages.seconds


async def test_who_goes_away_leaves_the_line_and_a_turn_is_not_lost_with_it():
    admission = Admission(1, LINE)
    first, second, third = await workers(admission, 3)
    second.task.cancel()
    await settle()
    assert in_line() == 1
    first.end.set()
    await settle()
    assert third.working
    # One that is given its turn and cancelled at the same moment.
    fourth, fifth = await workers(admission, 2)
    third.end.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    fourth.task.cancel()
    await settle()
    fourth.end.set()
    await settle()
    assert fifth.working
    fifth.end.set()
    await fifth.task
    assert (await workers(admission, 1))[0].working


async def test_what_waited_until_its_deadline_is_never_begun():
    admission = Admission(1, LINE)
    first, late, patient = Worker(admission), Worker(admission, request(0.05)), Worker(admission)
    await asyncio.sleep(0.1)
    first.end.set()
    with pytest.raises(DeadlineExceeded):
        await late.task
    assert not late.working
    await settle()
    assert patient.working


async def test_who_would_wait_more_than_half_of_its_time_is_refused_at_once():
    admission = Admission(2, LINE)
    await took(admission, 0.5)
    await workers(admission, 2)
    # Half a second each and two slots: the third in line is about 0.75 s away from its turn.
    await workers(admission, 2)
    with pytest.raises(
        ResourceExhausted, match=r"2 requests are waiting, about 0\.[78] s; this one may wait 0\.5 s"
    ) as no:
        async with admission.turn(request(1)):
            pass
    assert 0.2 <= no.value.retry_after_s < 0.5
    # Who has more time has its turn.
    assert not Worker(admission, request(10)).task.done()
    await settle()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (Line(requests=2, seconds=1000, size=1000), "2 requests are waiting; try again later"),
        (Line(requests=100, seconds=0.01, size=1000), "this one may wait 0.0 s"),
        (Line(requests=100, seconds=1000, size=25), "2 requests of 20 bytes are waiting; the limit is 25"),
    ],
    ids=["number", "seconds", "bytes"],
)
async def test_every_bound_of_the_line_is_kept(line, told):
    admission = Admission(1, line)
    if line.seconds < 1:
        await took(admission, 0.05)
        await workers(admission, 1)
    else:
        await workers(admission, 3, size=10)
    with pytest.raises(ResourceExhausted) as refused:
        async with admission.turn(request(), 10):
            pass
    assert told in refused.value.message
    copy = pickle.loads(pickle.dumps(refused.value))
    assert (copy.message, copy.retry_after_s) == (refused.value.message, refused.value.retry_after_s)
    assert copy.label == refused.value.label == f"RESOURCE_EXHAUSTED/{'wait' if line.seconds < 1 else 'line'}"


async def test_one_large_request_may_wait_where_nobody_else_does():
    admission = Admission(1, Line(requests=10, seconds=1000, size=25))
    first, large = Worker(admission), Worker(admission, size=100)
    await settle()
    first.end.set()
    await settle()
    assert large.working


async def test_a_failing_request_gives_its_turn_on():
    admission = Admission(1, LINE)
    with suppress(ValueError):
        async with admission.turn(request()):
            raise ValueError
    assert (await workers(admission, 1))[0].working


async def test_at_four_times_the_load_nearly_every_slot_works_for_somebody_who_still_waits():
    admission = Admission(2, LINE)
    answered = late = refused = 0

    async def ask() -> None:
        nonlocal answered, late, refused
        asked = request(0.6)
        try:
            async with asyncio.timeout(0.6), admission.turn(asked):
                await asyncio.sleep(0.05)
                answered += 1
        except (DeadlineExceeded, TimeoutError):
            late += 1
        except ResourceExhausted:
            refused += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(320):
            tasks.create_task(ask())
            await asyncio.sleep(0.00625)
    # 2 s at 160 a second, where 40 a second can be answered; a first-come line without clocks answers next to none.
    assert answered > 2 * late
    assert refused > answered


def of(admission: Admission, key: str, scope: str = "", size: int = 0, seconds: float = 1000) -> Worker:
    return Worker(admission, request(seconds, key, scope), size)


async def test_a_key_with_few_requests_waits_for_one_turn_and_not_for_a_line():
    admission = Admission(1, LINE)
    greedy = [of(admission, "greedy") for _ in range(50)]
    await settle()
    polite = of(admission, "polite")
    scoped = of(admission, "greedy", "another scope")
    await settle()
    greedy[0].end.set()
    greedy[1].end.set()
    await settle()
    assert polite.working
    polite.end.set()
    await settle()
    assert scoped.working


async def test_the_wait_that_is_foretold_is_ones_own():
    admission = Admission(1, LINE)
    await took(admission, 0.5)
    greedy = [of(admission, "greedy") for _ in range(50)]
    await settle()
    # Half a second each: 25 s for the greedy one, a second for whoever comes new.
    with pytest.raises(ResourceExhausted, match="49 requests are waiting"):
        async with admission.turn(request(20, "greedy")):
            pass
    assert not of(admission, "polite", seconds=20).task.done()
    await settle()
    assert not greedy[-1].task.done()


@pytest.mark.parametrize(
    "line",
    [Line(requests=4, seconds=1000, size=1000), Line(requests=100, seconds=1000, size=40)],
    ids=["number", "bytes"],
)
async def test_of_a_full_line_who_has_most_of_it_gives_way(line):
    admission = Admission(1, line)
    greedy = [of(admission, "greedy", size=10) for _ in range(5)]
    await settle()
    polite = [of(admission, "polite", size=10) for _ in range(3)]
    await settle()
    with pytest.raises(ResourceExhausted, match="more of this caller's than of others") as refused:
        await greedy[4].task
    assert refused.value.label == "RESOURCE_EXHAUSTED/share"
    with pytest.raises(ResourceExhausted):
        await greedy[3].task
    # Two each is as much as there is: nobody gives way to a third.
    with pytest.raises(ResourceExhausted) as refused:
        await polite[2].task
    assert refused.value.label == "RESOURCE_EXHAUSTED/line"
    served = (*greedy[:3], *polite[:2])
    for worker in served:
        worker.end.set()
    await asyncio.gather(*(worker.task for worker in served))
    assert (await workers(admission, 1))[0].working


async def test_one_that_asks_without_end_leaves_another_nearly_all_that_it_asks_for():
    """Four slots; what has worked the longest ends, one after the other. Who is refused asks at once again."""
    admission = Admission(4, Line(requests=16, seconds=1000, size=1000))
    working: deque[asyncio.Event] = deque()
    done: Counter[str] = Counter()

    async def loop(key: str) -> None:
        while True:
            with suppress(ResourceExhausted):
                async with admission.turn(request(key=key)):
                    working.append(asyncio.Event())
                    await working[-1].wait()
                    done[key] += 1
            await asyncio.sleep(0)

    callers = [asyncio.ensure_future(loop(key)) for key in ("greedy",) * 40 + ("polite",) * 2]
    for _ in range(200):
        await settle()
        working.popleft().set()
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    # Each of its turns takes four of these steps, and it waits for one or two: by arrival it would have ten turns.
    assert done["polite"] > 50
    assert done.total() > 190
