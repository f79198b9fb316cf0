"""The request that code serves: in its tasks and threads, and in no one else's."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import time

import pytest

from services.common import context, tracing
from services.common.context import Origin, RequestContext
from services.common.errors import DeadlineExceeded
from services.common.tracing import Trace

TRACE = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1")


async def test_tasks_and_threads_serve_what_started_them():
    async def task() -> tuple[str, ...]:
        await asyncio.sleep(0)
        return context.ids()

    async def request(name: str) -> list[tuple[str, ...]]:
        with context.serving(RequestContext(name)):
            first = asyncio.create_task(task())
            await asyncio.sleep(0)
            return [await asyncio.to_thread(context.ids), await first, await task()]

    seen = await asyncio.gather(*(request(name) for name in "abc"))
    assert seen == [[(name,)] * 3 for name in "abc"]
    assert context.ids() == ()


def test_without_a_request_there_is_one_that_nobody_hears_of():
    request = context.current()
    assert (request.id, request.trace) == ("", None)
    request.check_deadline()
    assert context.current() is not request
    assert context.ids() == ()


def test_a_batch_names_all_its_requests_once_and_is_in_no_trace():
    with context.serving(RequestContext("first", trace=TRACE)):
        with context.serving_all([Origin("a", TRACE), Origin("b"), Origin("a"), Origin("")]):
            assert context.ids() == ("a", "b")
            assert tracing.here() is None
            assert context.current().id == ""
        assert (context.ids(), tracing.here()) == (("first",), TRACE)


def test_a_stream_may_be_closed_where_it_was_not_begun():
    def stream():
        with context.serving(RequestContext("a", trace=TRACE)):
            yield context.ids()

    responses = stream()
    assert contextvars.copy_context().run(next, responses) == ("a",)
    contextvars.copy_context().run(responses.close)
    assert context.ids() == ()


def test_deadlines():
    late = RequestContext("a", deadline=time.monotonic() - 1)
    assert late.remaining_s == 0
    with pytest.raises(DeadlineExceeded):
        late.check_deadline()
    early = RequestContext("a", deadline=time.monotonic() + 60)
    assert 59 < early.remaining_s <= 60
    early.check_deadline()


def test_an_origin_goes_over_to_other_processes():
    origin = Origin("a", TRACE)
    assert pickle.loads(pickle.dumps(origin)) == origin
