"""Answers piece by piece, and what becomes of those nobody waits for."""

import asyncio
import threading
import time

import grpc
import pytest

import heroserve
from heroserve import AsyncClient, Client, RetryPolicy, Savings, Timings, Usage
from heroserve.v1 import chat_pb2

PATIENT = RetryPolicy(initial_backoff_s=30, max_backoff_s=30)


def test_pieces_then_the_answer(client, peer):
    stream = client.stream(b"image", "What?", retention=0.2)
    with pytest.raises(RuntimeError, match="end"):
        _ = stream.answer
    pieces = iter(stream)
    assert next(pieces) == "A "
    assert stream.text == "A "
    with pytest.raises(RuntimeError, match="end"):
        _ = stream.answer
    assert list(pieces) == ["red ", "[bold]bus"]
    answer = stream.answer
    assert answer.text == stream.text == "A red [bold]bus"
    assert answer.finish_reason == "stop"
    assert answer.usage == Usage(20, 260, 12, 3)
    assert answer.usage.prompt_tokens == 292
    assert answer.savings == Savings(1300, 260, 1040)
    assert answer.savings.ratio == 0.8
    assert answer.timings == Timings(0.12, 0.2, 0.9)
    assert peer.seen[0].request.budget.retention == 0.2


def test_a_read_goes_on_where_iteration_stopped(client):
    stream = client.stream(None, "What?")
    for _ in stream:
        break
    assert stream.read().text == "A red [bold]bus"


def test_no_image_no_savings_no_division_by_zero():
    assert Savings().ratio == 0.0


def test_pieces_arrive_before_the_end(client, peer):
    go_on = threading.Event()

    def waits(request, context):
        yield chat_pb2.GenerateResponse(delta="now")
        yield chat_pb2.GenerateResponse(delta="later" if go_on.wait(5) else "too late")
        yield chat_pb2.GenerateResponse(finish_reason=chat_pb2.GenerateResponse.LENGTH)

    peer.script.append(waits)
    stream = client.stream(None, "What?")
    pieces = iter(stream)
    assert next(pieces) == "now"
    go_on.set()
    assert list(pieces) == ["later"]
    assert stream.answer.finish_reason == "length"


def test_a_newer_service_may_end_an_answer_for_another_reason(client, peer):
    peer.script.append(lambda request, context: iter([chat_pb2.GenerateResponse(delta="Well", finish_reason=99)]))
    answer = client.ask(None, "What?")
    assert (answer.text, answer.finish_reason) == ("Well", "unknown")


def test_half_an_answer_does_not_pass_for_a_whole_one(client, peer):
    peer.script.append(lambda request, context: iter([chat_pb2.GenerateResponse(delta="Well")]))
    with pytest.raises(heroserve.Internal, match="finish reason"):
        client.ask(None, "What?")


def test_cancel_reaches_the_service(peer):
    with Client(peer.target) as client:
        peer.script.append(peer.hang)
        stream = client.stream(None, "What?")
        threading.Timer(0.2, stream.cancel).start()
        pieces = []
        with pytest.raises(heroserve.Cancelled) as caught:
            pieces.extend(stream)
        assert pieces == ["Well, "]
        assert caught.value.request_id == peer.seen[0].metadata["request_id"]
        assert peer.cancelled.wait(5)
        assert len(peer.seen) == 1


def test_leaving_the_context_cancels(peer):
    with Client(peer.target) as client:
        peer.script.append(peer.hang)
        with client.stream(None, "What?") as stream:
            assert next(iter(stream)) == "Well, "
        assert peer.cancelled.wait(5)


def test_closing_the_client_ends_its_streams(peer):
    client = Client(peer.target)
    peer.script.append(peer.hang)
    stream = client.stream(None, "What?")
    threading.Timer(0.2, client.close).start()
    with pytest.raises(heroserve.Cancelled):
        stream.read()
    assert peer.cancelled.wait(5)


def test_cancel_ends_a_pause(peer, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    with Client(peer.target, retry=PATIENT) as client:
        peer.script.append(grpc.StatusCode.UNAVAILABLE)
        stream = client.stream(None, "What?")
        threading.Timer(0.3, stream.cancel).start()
        start = time.monotonic()
        with pytest.raises(heroserve.Cancelled):
            stream.read()
        assert time.monotonic() - start < 5
    assert len(peer.seen) == 1


def test_a_stream_cancelled_before_it_began_sends_nothing(client, peer):
    stream = client.stream(None, "What?")
    stream.close()
    with pytest.raises(heroserve.Cancelled):
        stream.read()
    assert peer.seen == []


async def reached(event: threading.Event) -> bool:
    return await asyncio.to_thread(event.wait, 5)


async def test_async_cancel_reaches_the_service(peer):
    async with AsyncClient(peer.target) as client:
        peer.script.append(peer.hang)
        stream = client.stream(None, "What?")
        asyncio.get_running_loop().call_later(0.2, stream.cancel)
        with pytest.raises(heroserve.Cancelled):  # not asyncio.CancelledError: the task goes on
            await stream.read()
        assert stream.text == "Well, "
        assert await reached(peer.cancelled)


async def test_async_leaving_the_context_cancels(peer):
    async with AsyncClient(peer.target) as client:
        peer.script.append(peer.hang)
        async with client.stream(None, "What?") as stream:
            async for piece in stream:
                assert piece == "Well, "
                break
        assert await reached(peer.cancelled)


async def test_a_cancelled_task_cancels_its_call_and_stays_cancelled(peer):
    async with AsyncClient(peer.target) as client:
        peer.script.append(peer.hang)
        task = asyncio.create_task(client.ask(None, "What?"))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await reached(peer.cancelled)


@pytest.mark.parametrize("kind", ["ask", "encode"])
async def test_closing_the_async_client_ends_its_calls(peer, kind):
    arrived, leave = threading.Event(), threading.Event()

    def silent(request, context):
        context.add_callback(peer.cancelled.set)
        arrived.set()
        leave.wait(5)
        return iter(())

    peer.script.append(silent)
    client = AsyncClient(peer.target, encoder_target=peer.target)
    task = asyncio.create_task(getattr(client, kind)(b"image", "What?"))
    assert await reached(arrived)
    await client.close()
    with pytest.raises(heroserve.Cancelled):
        await task
    assert await reached(peer.cancelled)
    leave.set()


async def test_async_cancel_ends_a_pause(peer, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    async with AsyncClient(peer.target, retry=PATIENT) as client:
        peer.script.append(grpc.StatusCode.UNAVAILABLE)
        stream = client.stream(None, "What?")
        asyncio.get_running_loop().call_later(0.3, stream.cancel)
        start = time.monotonic()
        with pytest.raises(heroserve.Cancelled):
            await stream.read()
        assert time.monotonic() - start < 5


async def test_async_calls_run_side_by_side(peer):
    meet = threading.Barrier(3)

    def together(request, context):
        meet.wait(5)  # only if all three are here at once
        return chat_pb2.ChatDescription(model="met")

    peer.script.extend([together] * 3)
    async with AsyncClient(peer.target) as client:
        descriptions = await asyncio.gather(*(client.describe() for _ in range(3)))
    assert [description.model for description in descriptions] == ["met"] * 3
