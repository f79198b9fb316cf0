"""What is retried, how often, and within which time."""

import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc
import pytest

import heroserve
from heroserve import RetryPolicy
from heroserve.v1 import chat_pb2
from tests.unit.sdk.conftest import FAST

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
# How often a call is sent. Of overload one is free.
SENT = {UNAVAILABLE: 4, EXHAUSTED: 2}


def test_backoff_grows_up_to_its_limit_and_has_full_jitter():
    policy = RetryPolicy(initial_backoff_s=0.1, multiplier=2.0, max_backoff_s=0.5)
    for failures, longest in ((1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5), (50, 0.5)):
        waits = [policy.backoff_s(failures) for _ in range(500)]
        assert 0 <= min(waits) < longest * 0.1
        assert longest * 0.9 < max(waits) <= longest


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"initial_backoff_s": -1},
        {"max_backoff_s": -1},
        {"multiplier": 0.5},
        {"overload_share": -0.1},
        {"overload_share": 1.1},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


@contextmanager
def resetting() -> Iterator[tuple[str, list[int]]]:
    """An HTTP/2 server that resets every stream, as one does that is stopped: its address, and what it has reset."""
    reset: list[int] = []

    taken: list[socket.socket] = []

    def talk() -> None:
        with listener.accept()[0] as connection, connection.makefile("rb") as frames:
            taken.append(connection)
            connection.sendall(struct.pack(">xHBxL", 0, 4, 0))  # its settings
            frames.read(24)
            while head := frames.read(9):
                length, kind, stream = struct.unpack(">xHBxL", head)
                frames.read(length)
                if kind == 1:  # a call's headers
                    reset.append(stream)
                    connection.sendall(struct.pack(">xHBxLL", 4, 3, stream, 8))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        talking = threading.Thread(target=talk)
        talking.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", reset
        # gRPC for asyncio stays connected while a failure's traceback holds its call.
        with suppress(OSError):
            taken[0].shutdown(socket.SHUT_RDWR)
        talking.join()


def test_a_call_that_is_reset_was_not_cancelled_by_its_caller(connect, peer):
    with resetting() as (peer.target, reset):
        client = connect(peer)
        with pytest.raises(heroserve.Cancelled, match="RST_STREAM"):
            client.describe(timeout_s=20)
        assert len(reset) == FAST.attempts
        client.close()


def test_nor_one_that_ends_in_no_words(client, peer):
    peer.script.append(lambda request, context: context.abort(grpc.StatusCode.CANCELLED, ""))
    assert client.describe().model == "scripted"


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK], ids=lambda c: c.name)
def test_only_two_statuses_are_retried(client, peer, code):
    for call in (client.describe, client.stream(None, "Why?").read):
        peer.seen.clear()
        peer.script.extend([code] * 10)
        with pytest.raises(heroserve.HeroserveError):
            call()
        assert len(peer.seen) == SENT.get(code, 1)
        peer.script.clear()
        for _ in range(10):
            client.describe()


def test_success_after_failures(client, peer):
    peer.script.extend([UNAVAILABLE, EXHAUSTED])
    assert client.describe().model == "scripted"
    peer.script.extend([UNAVAILABLE, UNAVAILABLE])
    assert client.ask(None, "What?").text == "A red [bold]bus"
    assert len(peer.seen) == 6


def test_a_service_that_is_not_deployed_yet_is_tried_again(client, peer):
    """Ray Serve answers NOT_FOUND while its application comes up or drains; an unknown digest must not retry."""

    def not_deployed(request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "Application 'llm' not found. Ping /ray.serve... for more.")

    peer.script.extend([not_deployed, not_deployed])
    client.encode(b"image", "What?")
    assert len(peer.seen) == 3
    peer.script.extend([not_deployed] * 30)  # however long it takes
    client.encode(b"image", "What?")
    assert len(peer.seen) == 3 + 31
    peer.script.extend([not_deployed] * 1000)
    with pytest.raises(heroserve.Unavailable, match="starting or stopping"):
        client.encode(b"image", "What?", timeout_s=0.5)


def test_a_replica_that_dies_is_tried_again(client, peer):
    """Ray Serve answers INTERNAL for the one that was answering; a bug's INTERNAL must not retry."""

    def died(request, context):
        context.abort(grpc.StatusCode.INTERNAL, "The actor died unexpectedly before finishing this task.\n\tpid: 7")

    peer.script.extend([died])
    client.encode(b"image", "What?")
    assert len(peer.seen) == 2
    peer.script.extend([died] * 4)
    with pytest.raises(heroserve.Unavailable, match="a replica died") as caught:
        client.encode(b"image", "What?")
    assert "pid" not in str(caught.value)


def test_a_service_that_restarts_is_found_again(connect, peer, serve):
    client = connect(peer, retry=RetryPolicy(attempts=100, initial_backoff_s=0.1, max_backoff_s=0.1))
    client.describe()
    peer.stop()
    back = []
    timer = threading.Timer(0.3, lambda: back.append(serve(address=peer.target)))
    timer.start()
    assert client.ask(None, "What?").text == "A red [bold]bus"
    timer.join()
    assert len(back[0].seen) == 1


def test_request_id_is_fresh_for_a_call_and_kept_by_its_retries(client, peer):
    peer.script.extend([UNAVAILABLE, UNAVAILABLE])
    client.describe()
    client.describe()
    ids = [seen.metadata["request_id"] for seen in peer.seen]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert all(len(i) == 32 for i in ids)


def test_all_attempts_share_one_deadline(connect, peer):
    client = connect(peer, retry=RetryPolicy(attempts=1000, initial_backoff_s=0.05, max_backoff_s=0.05))

    def slowly(request, context):
        time.sleep(0.1)
        context.abort(UNAVAILABLE, "later")

    peer.script.extend([slowly] * 100)
    start = time.monotonic()
    with pytest.raises((heroserve.Unavailable, heroserve.DeadlineExceeded)):
        client.describe(timeout_s=0.6)
    assert time.monotonic() - start < 1.2
    left = [seen.remaining_s for seen in peer.seen]
    assert len(left) >= 3
    assert left[0] < 0.7
    assert all(later < earlier - 0.08 for earlier, later in itertools.pairwise(left))


def test_a_pause_never_outlasts_the_deadline(connect, peer, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    client = connect(peer, retry=RetryPolicy(initial_backoff_s=30, max_backoff_s=30))
    peer.script.append(UNAVAILABLE)
    start = time.monotonic()
    with pytest.raises(heroserve.Unavailable):  # the cause, not a deadline it did not wait for
        client.describe(timeout_s=5)
    assert time.monotonic() - start < 2


def test_a_silent_service_is_left_at_the_deadline(client, peer):
    peer.script.append(peer.hang)
    stream = client.stream(None, "Why?", timeout_s=0.3)
    with pytest.raises(heroserve.DeadlineExceeded):
        stream.read()
    assert stream.text == "Well, "
    assert len(peer.seen) == 1


def test_nothing_is_retried_after_the_first_response(client, peer):
    def breaks(request, context):
        yield chat_pb2.GenerateResponse(delta="Hel")
        context.abort(UNAVAILABLE, "gone")

    peer.script.append(breaks)
    stream = client.stream(None, "Why?")
    pieces = []
    with pytest.raises(heroserve.Unavailable, match="gone"):
        pieces.extend(stream)
    assert pieces == ["Hel"]
    assert stream.text == "Hel"
    assert len(peer.seen) == 1
    with pytest.raises(RuntimeError):
        _ = stream.answer


def test_an_empty_first_response_counts_as_one(client, peer):
    def breaks(request, context):
        yield chat_pb2.GenerateResponse()
        context.abort(UNAVAILABLE, "gone")

    peer.script.append(breaks)
    with pytest.raises(heroserve.Unavailable):
        client.ask(None, "Why?")
    assert len(peer.seen) == 1
