"""Long-lived clients find servers that were added or moved, and nothing is lost or left over on the way.

Over real connections, and a real name server on this machine that gRPC asks.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import heroserve
from heroserve import AsyncClient, Client, RetryPolicy
from heroserve.v1 import chat_pb2, encoder_pb2
from tests.support.waiting import until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2 and /proc/net/tcp"),
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]

HERE, ELSEWHERE, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
ANSWER = "A red [bold]bus"
PERSISTENT = RetryPolicy(attempts=100, initial_backoff_s=0.05, max_backoff_s=0.05)
ESTABLISHED, A, SERVFAIL = "01", 1, 2


class NameServer:
    """Knows one name. Attributes: addresses: what it stands for, None if the server is broken; asked: how often."""

    def __init__(self) -> None:
        self.addresses: list[str] | None = [HERE]
        self.asked = 0
        self.silent = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HERE, 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def name(self, port: int) -> str:
        return f"dns://{HERE}:{self._socket.getsockname()[1]}/encoder.test:{port}"

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:  # from `close`
                return
            end = query.index(b"\0", 12) + 5
            question = query[12:end]
            (kind,) = struct.unpack(">H", question[-4:-2])
            self.asked += kind == A
            if self.silent:
                continue
            addresses = self.addresses if kind == A and self.addresses else []
            flags = 0x8580 | (SERVFAIL if self.addresses is None else 0)
            answers = [b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 1, 4) + socket.inet_aton(a) for a in addresses]
            header = query[:2] + struct.pack(">HHHHH", flags, 1, len(answers), 0, 0)
            self._socket.sendto(header + question + b"".join(answers), client)


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def named(serve, names):
    """A peer that is called by its name."""
    peer = serve()
    peer.port = int(peer.target.split(":")[1])
    peer.target = names.name(peer.port)
    return peer


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns at almost every step."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def connections(port: int) -> int:
    """How many connections to the port there are, at the servers' end."""
    rows = [row.split() for file in ("tcp", "tcp6") for row in Path("/proc/net", file).read_text().splitlines()[1:]]
    return sum(int(row[1].rpartition(":")[2], 16) == port and row[3] == ESTABLISHED for row in rows)


def eventually(holds: Callable[[], object], within_s: float = 10.0) -> bool:
    return until(holds, within_s, pause_s=0.02)


def renew(client, peer) -> None:
    """Call until a call comes by another connection than the last one did."""
    last = peer.seen[-1].connection
    assert eventually(lambda: client.describe() and peer.seen[-1].connection != last)


def test_a_server_that_is_added_is_found(connect, serve, names, named):
    client = connect(named, max_connection_age_s=0.3)
    client.describe()
    added = serve(address=f"{ELSEWHERE}:{named.port}")
    names.addresses = [HERE, ELSEWHERE]
    assert eventually(lambda: client.describe() and added.seen)
    before = len(named.seen), len(added.seen)
    for _ in range(20):
        client.describe()
    assert min(len(named.seen) - before[0], len(added.seen) - before[1]) >= 5  # both are used from then on


def test_never_is_an_age_too(connect, serve, names, named):
    client = connect(named, max_connection_age_s=math.inf)
    client.describe()
    added = serve(address=f"{ELSEWHERE}:{named.port}")
    names.addresses = [HERE, ELSEWHERE]
    assert not eventually(lambda: client.describe() and added.seen, 1)
    assert names.asked == 1
    assert len({seen.connection for seen in named.seen}) == 1


def test_a_server_that_moved_is_found_by_the_call_that_misses_it(connect, serve, names, named):
    client = connect(named, max_connection_age_s=0.2, retry=PERSISTENT)
    client.describe()
    moved = serve(address=f"{ELSEWHERE}:{named.port}")
    names.addresses = [ELSEWHERE]
    named.stop()
    time.sleep(0.3)
    client.describe(timeout_s=10)  # gRPC itself would not look the name up again for 30 s
    assert len(moved.seen) == 1


def test_a_young_connection_is_reused(connect, names, named):
    client = connect(named, max_connection_age_s=30)
    for _ in range(20):
        client.describe()
        client.ask(None, "What?")
    assert len({seen.connection for seen in named.seen}) == 1
    assert connections(named.port) == names.asked == 1


def test_the_name_is_looked_up_once_an_age(connect, names, named):
    client = connect(named, max_connection_age_s=0.5)
    start = time.monotonic()
    while time.monotonic() < start + 2.2:
        client.describe()
    assert 3 <= names.asked <= 1 + (time.monotonic() - start) / 0.5
    assert 3 <= len({seen.connection for seen in named.seen}) <= names.asked


def test_nothing_is_renewed_without_a_call(connect, names, named):
    client = connect(named, max_connection_age_s=0.1)
    client.describe()
    time.sleep(0.5)
    assert names.asked == connections(named.port) == 1
    client.describe()
    assert eventually(lambda: names.asked == 2)


def test_a_stream_outlives_the_change_and_then_its_connection_goes(connect, named):
    go_on = threading.Event()

    def waits(request, context):
        yield chat_pb2.GenerateResponse(delta="now ")
        yield chat_pb2.GenerateResponse(delta="later" if go_on.wait(10) else "too late")
        yield chat_pb2.GenerateResponse(finish_reason=chat_pb2.GenerateResponse.STOP)

    named.script.append(waits)
    client = connect(named, max_connection_age_s=0.3)
    stream = client.stream(None, "What?")
    pieces = iter(stream)
    assert next(pieces) == "now "
    time.sleep(0.3)
    renew(client, named)
    renew(client, named)
    # The middle one has nothing to wait for: it goes, while the stream's stays.
    assert eventually(lambda: client.describe() and connections(named.port) == 2)
    go_on.set()
    assert list(pieces) == ["later"]
    assert stream.answer.finish_reason == "stop"
    assert eventually(lambda: client.describe() and connections(named.port) == 1)


def test_an_answer_that_was_sent_before_the_change_can_be_read_after_it(connect, named):
    client = connect(named, max_connection_age_s=0.2)
    stream = client.stream(None, "What?")
    pieces = iter(stream)
    assert next(pieces) == "A "
    time.sleep(0.3)
    renew(client, named)
    renew(client, named)
    assert list(pieces) == ["red ", "[bold]bus"]
    assert eventually(lambda: client.describe() and connections(named.port) == 1)


def test_an_answer_that_is_dropped_keeps_no_connection(connect, named):
    client = connect(named, max_connection_age_s=0.3)
    named.script.append(named.hang)
    stream = client.stream(None, "What?")
    pieces = iter(stream)
    assert next(pieces) == "Well, "
    time.sleep(0.3)
    renew(client, named)
    assert connections(named.port) >= 2
    del stream, pieces
    # A generator that was left in the middle is part of a cycle, here and in grpc.aio.
    assert eventually(lambda: client.describe() and gc.collect() >= 0 and connections(named.port) == 1, 5)


@pytest.mark.parametrize("end", ["cancelled", "deadline"])
def test_an_answer_that_nobody_reads_on_keeps_no_connection(named, end):
    with Client(named.target, max_connection_age_s=0.3) as client:
        named.script.append(named.hang)
        stream = client.stream(None, "What?", timeout_s=100 if end == "cancelled" else 2)
        pieces = iter(stream)
        assert next(pieces) == "Well, "
        time.sleep(0.3)
        renew(client, named)
        if end == "cancelled":
            stream.cancel()
        assert eventually(lambda: client.describe() and connections(named.port) == 1)
        del stream, pieces  # not before


async def test_an_encode_outlives_the_change_and_then_its_connection_goes(named):
    go_on = threading.Event()
    named.script.append(lambda request, context: encoder_pb2.VisualTokens() if go_on.wait(10) else None)
    async with AsyncClient(encoder_target=named.target, max_connection_age_s=0.2) as client:
        encode = asyncio.create_task(client.encode(b"image", "What?"))
        assert await asyncio.to_thread(eventually, lambda: named.seen)
        await asyncio.sleep(0.2)
        until = time.monotonic() + 10
        while named.seen[-1].connection == named.seen[0].connection and time.monotonic() < until:
            await client.describe_encoder()
        assert connections(named.port) >= 2
        go_on.set()
        await encode
        assert named.seen[0].connection != named.seen[-1].connection
        assert await asyncio.to_thread(eventually, lambda: connections(named.port) == 1)


def test_the_old_connection_serves_while_the_name_server_is_broken(connect, serve, names, named):
    client = connect(named, max_connection_age_s=0.1, retry=RetryPolicy(attempts=1))
    client.describe()
    names.addresses = None
    asked = names.asked
    assert not eventually(lambda: client.describe() is None, 1)
    assert names.asked > asked
    assert len({seen.connection for seen in named.seen}) == 1
    added = serve(address=f"{ELSEWHERE}:{named.port}")
    names.addresses = [ELSEWHERE]
    assert eventually(lambda: client.describe() and added.seen, 20)


def test_a_silent_name_server_keeps_no_call_waiting(connect, names, named):
    client = connect(named, max_connection_age_s=0.1)
    client.describe()
    names.silent = True
    time.sleep(0.1)
    asked = names.asked
    for _ in range(10):
        client.describe(timeout_s=1)
        time.sleep(0.02)
    assert names.asked > asked


def test_the_old_connection_serves_while_nobody_is_at_the_new_address(connect, names, named):
    client = connect(named, max_connection_age_s=0.1, retry=RetryPolicy(attempts=1))
    client.describe()
    names.addresses = [NOBODY]
    assert not eventually(lambda: client.describe() is None, 1)
    assert names.asked == 2  # the one successor goes on trying, it has none of its own
    assert len({seen.connection for seen in named.seen}) == 1


def test_a_first_connection_that_fails_is_retried_at_any_age(connect, serve, names, named):
    names.addresses = [NOBODY]
    client = connect(named, max_connection_age_s=0.05, retry=RetryPolicy(attempts=3, initial_backoff_s=0.1))
    with pytest.raises(heroserve.Unavailable):
        client.describe(timeout_s=5)
    late = connect(named, max_connection_age_s=0.05, retry=PERSISTENT)
    timer = threading.Timer(0.5, lambda: serve(address=f"{NOBODY}:{named.port}"))
    timer.start()
    assert late.ask(None, "What?", timeout_s=20).text == ANSWER
    timer.join()


def test_closing_ends_the_calls_on_every_connection(connect, names, named):
    ended = [threading.Event() for _ in range(3)]

    def hangs(ended):
        def step(request, context):
            context.add_callback(ended.set)
            yield chat_pb2.GenerateResponse(delta="Well, ")
            ended.wait(10)

        return step

    client = connect(named, max_connection_age_s=0.2)
    streams = []
    for each in ended:
        named.script.append(hangs(each))
        streams.append(iter(client.stream(None, "What?")))
        assert next(streams[-1]) == "Well, "
        time.sleep(0.2)
        renew(client, named)
    names.addresses = [NOBODY]  # and one that does not get connected
    time.sleep(0.2)
    client.describe()
    assert connections(named.port) >= 3
    start = time.monotonic()
    client.close()
    assert time.monotonic() - start < 3
    assert all(each.wait(5) for each in ended)
    for stream in streams:
        with pytest.raises(heroserve.Cancelled):
            next(stream)
    assert eventually(lambda: gc.collect() >= 0 and connections(named.port) == 0)
    with pytest.raises(RuntimeError, match="closed"):
        client.describe()


def test_closing_while_connecting_is_quiet(connect, names, named, monkeypatch, hurried):
    problems = []
    monkeypatch.setattr(threading, "excepthook", problems.append)
    for _ in range(50):
        names.addresses = [HERE]
        client = connect(named, max_connection_age_s=0.001)
        client.describe()
        names.addresses = [NOBODY]
        time.sleep(0.002)
        client.describe()
        client.close()
    assert eventually(lambda: not any(isinstance(thread, threading.Timer) for thread in threading.enumerate()))
    assert problems == []


def test_what_was_connecting_when_the_client_was_closed_does_not_go_on(connect, serve, names, named):
    client = connect(named, max_connection_age_s=0.1)
    client.describe()
    names.addresses = [NOBODY]
    time.sleep(0.1)
    client.describe()
    assert eventually(lambda: names.asked == 2)
    client.close()
    time.sleep(1.5)
    serve(address=f"{NOBODY}:{named.port}")
    assert not eventually(lambda: connections(named.port), 2)


def test_threads_that_meet_an_old_connection_open_one_new_one(names, named, hurried):
    threads = 16
    meet = threading.Barrier(threads)
    problems = []

    def calls():
        try:
            for _ in range(2):
                meet.wait(10)
                client.describe()
                meet.wait(10)
                time.sleep(1.2)
        except Exception as problem:  # noqa: BLE001 - reported below
            problems.append(problem)

    with Client(named.target, max_connection_age_s=1) as client:
        workers = [threading.Thread(target=calls) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert problems == []
        assert names.asked == 2
        assert len(named.seen) == 2 * threads
        assert eventually(lambda: connections(named.port) == 1)


def use(client, number: int) -> str:
    if number % 3 == 0:
        return client.describe().model
    if number % 3 == 1:
        return client.encode(b"image", "What?").grid.cols
    return client.ask(b"image", "What?").text


EXPECTED = ["scripted", 2, ANSWER]


def test_many_threads_and_a_tiny_age(named, hurried):
    results = []

    def calls():
        results.append([])
        mine = results[-1]
        try:
            mine.extend(use(client, number) for number in range(60))
        except Exception as problem:  # noqa: BLE001 - reported below
            mine.append(problem)

    with Client(
        named.target, encoder_target=named.target, max_connection_age_s=0.01, retry=RetryPolicy(attempts=1)
    ) as client:
        workers = [threading.Thread(target=calls) for _ in range(12)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert results == [EXPECTED * 20] * 12
        assert len({seen.connection for seen in named.seen}) >= 6
        # Both targets, each with its connection and at most one that takes over.
        assert eventually(lambda: connections(named.port) <= 4)
    assert eventually(lambda: connections(named.port) == 0)
    assert eventually(lambda: not any(thread.name == "heroserve-close" for thread in threading.enumerate()))


async def test_many_tasks_and_a_tiny_age(named):
    async def calls():
        results = []
        for _ in range(20):
            results.append((await client.describe()).model)
            results.append((await client.encode(b"image", "What?")).grid.cols)
            results.append((await client.ask(b"image", "What?")).text)
        return results

    async with AsyncClient(
        named.target, encoder_target=named.target, max_connection_age_s=0.01, retry=RetryPolicy(attempts=1)
    ) as client:
        assert await asyncio.gather(*(calls() for _ in range(12))) == [EXPECTED * 20] * 12
        assert len({seen.connection for seen in named.seen}) >= 6
        assert await asyncio.to_thread(eventually, lambda: connections(named.port) <= 4)
    assert await asyncio.to_thread(eventually, lambda: connections(named.port) == 0)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_ages(kind):
    assert inspect.signature(kind).parameters["max_connection_age_s"].default == 60
    for age in (0, -1, math.nan, -math.inf):
        with pytest.raises(ValueError, match="max_connection_age_s"):
            kind(max_connection_age_s=age)
    kind(max_connection_age_s=math.inf)
