"""Long-lived clients find servers that were added or moved; nothing is cut on the way, and nothing left over.

`test_rotation` has the decisions; this has what takes real connections, threads, and a name server that gRPC asks.
"""

import asyncio
import gc
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import heroserve
from heroserve import AsyncClient, Client, RetryPolicy
from heroserve.transport import channels
from heroserve.v1 import chat_pb2
from tests.support.names import NameServer, connections
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2 and /proc/net/tcp"),
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning"),
]

HERE, ELSEWHERE, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
ONCE = RetryPolicy(attempts=1)


@pytest.fixture
def names():
    with NameServer(HERE) as server:
        yield server
        server.shutdown()


@pytest.fixture
def named(serve, names):
    """A peer that is called by its name."""
    peer = serve()
    peer.port = int(peer.target.split(":")[1])
    peer.target = names.name(peer.port)
    return peer


@pytest.fixture
def hurried():
    """Threads take turns at almost every step."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def eventually(holds):
    return until(holds, 10, pause_s=0.02)


def closing_threads():
    return [thread for thread in threading.enumerate() if thread.name == "heroserve-close"]


def renew(client, peer):
    """Call until a call comes by another connection than the last one did."""
    last = peer.seen[-1].connection
    assert eventually(lambda: client.describe() and peer.seen[-1].connection != last)


def test_an_added_server_is_found_while_a_stream_goes_on(connect, serve, names, named):
    go_on = threading.Event()

    def waits(request, context):
        yield chat_pb2.GenerateResponse(delta="now ")
        yield chat_pb2.GenerateResponse(delta="later" if go_on.wait(20) else "too late")
        yield chat_pb2.GenerateResponse(finish_reason=chat_pb2.GenerateResponse.STOP)

    client = connect(named, max_connection_age_s=0.2)
    named.script.append(waits)
    pieces = iter(client.stream(None, "What?"))
    assert next(pieces) == "now "
    added = serve(address=f"{ELSEWHERE}:{named.port}")
    names.addresses = [HERE, ELSEWHERE]
    assert eventually(lambda: client.describe() and added.seen)
    go_on.set()
    assert list(pieces) == ["later"]
    names.addresses = [ELSEWHERE]
    assert eventually(lambda: client.describe() and connections(named.port) == 1)  # the stream's is gone


def test_a_server_that_moved_is_found_by_the_call_that_misses_it(connect, serve, names, named):
    client = connect(named, max_connection_age_s=0.1, retry=RetryPolicy(100, 0.05, max_backoff_s=0.05))
    client.describe()
    moved = serve(address=f"{ELSEWHERE}:{named.port}")
    names.addresses = [ELSEWHERE]
    named.stop()
    time.sleep(0.1)
    client.describe(timeout_s=10)  # gRPC itself would not look the name up again for 30 s
    assert len(moved.seen) == 1


@pytest.mark.parametrize("addresses", [None, [NOBODY]], ids=["name server broken", "nobody at the address"])
def test_the_old_connection_serves_until_there_is_a_new_one(connect, serve, names, named, addresses):
    client = connect(named, max_connection_age_s=0.1, retry=ONCE)
    client.describe()
    names.addresses = addresses
    asked = names.asked
    assert eventually(lambda: client.describe() and names.asked > asked)
    for _ in range(10):
        client.describe(timeout_s=5)
    assert len({seen.connection for seen in named.seen}) == 1
    late = serve(address=f"{NOBODY}:{named.port}")
    names.addresses = [NOBODY]
    assert until(lambda: client.describe() and late.seen, 30, pause_s=0.1)


def test_an_answer_that_was_dropped_keeps_no_connection(connect, named):
    client = connect(named, max_connection_age_s=0.1)
    named.script.append(named.hang)
    stream = client.stream(None, "What?")
    pieces = iter(stream)
    assert next(pieces) == "Well, "
    time.sleep(0.1)
    renew(client, named)
    del stream, pieces
    # A generator that was left in the middle is part of a cycle, here and in grpc.aio.
    assert eventually(lambda: client.describe() and gc.collect() >= 0 and connections(named.port) == 1)


@pytest.mark.timeout(10)
def test_the_garbage_collector_may_end_an_answer_while_its_thread_opens_a_channel(named, monkeypatch):
    opened = channels.open_channel
    monkeypatch.setattr(channels, "open_channel", lambda *target: (gc.collect(), opened(*target))[1])
    with Client(named.target, max_connection_age_s=0.01) as client:
        named.script.append(named.hang)
        stream = client.stream(None, "What?")
        cycle = [stream, pieces := iter(stream)]
        assert next(pieces) == "Well, "
        cycle.append(cycle)
        time.sleep(0.01)
        del stream, pieces, cycle
        assert client.describe().model == "scripted"
        assert named.cancelled.wait(5)


def test_a_cancelled_answer_that_nobody_reads_on_keeps_no_connection(named):
    with Client(named.target, max_connection_age_s=0.1) as client:
        named.script.append(named.hang)
        stream = client.stream(None, "What?")
        pieces = iter(stream)
        assert next(pieces) == "Well, "
        time.sleep(0.1)
        renew(client, named)
        stream.cancel()
        assert eventually(lambda: client.describe() and connections(named.port) == 1)
        del stream, pieces  # not before


def test_closing_ends_what_runs_and_what_connects(connect, serve, names, named):
    client = connect(named, max_connection_age_s=0.1)
    named.script.append(named.hang)
    pieces = iter(client.stream(None, "What?"))
    assert next(pieces) == "Well, "
    time.sleep(0.1)
    renew(client, named)
    names.addresses, asked = [NOBODY], names.asked
    assert eventually(lambda: client.describe() and names.asked > asked)
    client.close()
    if isinstance(client, Client):  # gRPC's watcher of the one that connects has time to leave
        assert max(thread.interval for thread in closing_threads()) >= 5 * 0.2
    assert named.cancelled.wait(5)
    with pytest.raises(heroserve.Cancelled):
        next(pieces)
    assert eventually(lambda: gc.collect() >= 0 and connections(named.port) == 0)
    assert eventually(lambda: not closing_threads())
    serve(address=f"{NOBODY}:{named.port}")
    assert not until(lambda: connections(named.port), 1, pause_s=0.1)


def use(client):
    return client.describe(), client.encode(b"image", "What?"), client.ask(b"image", "What?")


def check(results, named):
    for description, tokens, answer in results:
        assert (description.model, tokens.grid.cols, answer.text) == ("scripted", 2, "A red [bold]bus")
    assert len(results) == 120
    assert len({seen.connection for seen in named.seen}) >= 4
    # Both targets, each with its connection and at most one that takes over.
    assert eventually(lambda: connections(named.port) <= 4)


def test_many_threads_and_a_tiny_age(named, hurried):
    with (
        Client(named.target, encoder_target=named.target, max_connection_age_s=0.01, retry=ONCE) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        check(list(pool.map(use, [client] * 120)), named)
    assert eventually(lambda: connections(named.port) == 0)


async def test_many_tasks_and_a_tiny_age(named):
    async def calls(client):
        return [await asyncio.gather(*use(client)) for _ in range(15)]

    async with AsyncClient(named.target, encoder_target=named.target, max_connection_age_s=0.01, retry=ONCE) as client:
        rounds = await asyncio.gather(*(calls(client) for _ in range(8)))
        await asyncio.to_thread(check, [result for results in rounds for result in results], named)
    assert await asyncio.to_thread(eventually, lambda: connections(named.port) == 0)
