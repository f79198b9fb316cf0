"""Some at a time: never more, each picture sent by one, and what is closed is cancelled."""

from __future__ import annotations

import threading
import time

import pytest

import heroserve
from heroserve.batch import ask_many, ask_request
from heroserve.v1 import chat_pb2
from tests.unit.sdk.conftest import LAST

PICTURES = (b"\x89PNG one", b"\x89PNG two")


@pytest.fixture
def client(peer):
    with heroserve.Client(peer.target) as client:
        yield client


def test_never_more_than_it_may(client, peer):
    running, most, lock = [0], [0], threading.Lock()

    def count(request, context):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1
        yield LAST

    peer.script.extend([count] * 12)
    outcomes = ask_many(client, range(12), lambda number: ask_request(None, f"{number}?"), concurrency=3)
    assert sorted(outcome.item for outcome in outcomes) == list(range(12))
    assert most[0] == 3


def test_items_are_taken_as_there_is_room(client, peer):
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    outcomes = ask_many(client, items(), lambda number: ask_request(None, f"{number}?"), concurrency=2)
    next(outcomes)
    assert len(taken) <= 4
    outcomes.close()
    assert len(taken) <= 4


def test_of_those_with_one_picture_the_first_goes_first(client, peer):
    """Until it is answered, or fails, the others wait; those with another picture don't."""
    shown = threading.Event()

    def slow(request, context):
        image = request.messages[0].parts[0].image.data
        peer.stored.add(heroserve.image_digest(image))
        if image == PICTURES[0]:  # whichever comes first
            shown.wait(10)
        yield chat_pb2.GenerateResponse(delta="a")
        yield LAST

    peer.script.extend([slow, slow])
    outcomes = ask_many(client, [0, 0, 0, 1], lambda which: ask_request(PICTURES[which], "?"), concurrency=4)
    # The one with the other picture is done before any of these.
    assert next(outcomes).item == 1
    assert len(peer.seen) == 2
    shown.set()
    assert len(list(outcomes)) == 3
    assert sorted(seen.image_bytes for seen in peer.seen) == [0, 0, len(PICTURES[0]), len(PICTURES[1])]


def test_where_the_first_fails_another_sends_it(client, peer):
    invalid = lambda request, context: context.abort(heroserve.InvalidArgument.default_code, "no")  # noqa: E731
    peer.script.append(invalid)
    outcomes = list(ask_many(client, range(4), lambda _: ask_request(PICTURES[0], "?"), concurrency=4))
    assert sorted(outcome.error is None for outcome in outcomes) == [False, True, True, True]


def test_closed_it_cancels_what_is_in_flight(client, peer):
    peer.script.extend([peer.hang])
    outcomes = ask_many(client, range(9), lambda number: ask_request(None, f"{number}?"), concurrency=2)
    next(outcomes)
    outcomes.close()
    assert peer.cancelled.wait(10)


def test_an_error_of_ours_is_no_outcome(client, peer):
    with pytest.raises(ZeroDivisionError):
        list(ask_many(client, [0], lambda number: ask_request(None, f"{1 // number}?")))
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        next(ask_many(client, [0], lambda number: ask_request(None, "?"), concurrency=0))


def test_a_share_of_one_bounds_nothing(client, serve):
    peer = serve()
    peer.script.extend([heroserve.ResourceExhausted.default_code] * 40)
    policy = heroserve.RetryPolicy(attempts=100, initial_backoff_s=0.001, max_backoff_s=0.001, overload_share=1)
    with heroserve.Client(peer.target, retry=policy) as patient:
        assert patient.ask(None, "?").finish_reason == "stop"
    assert len(peer.seen) == 41
