"""uvicorn as Serve starts it in a proxy, and what callers of its port may cost."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from ray.serve._private import constants

from services.common import proxy
from services.common.ingress import http_connection
from services.common.ingress.http_connection import MAX_HEAD_BYTES

HEAD = b"POST /count HTTP/1.1\r\nhost: x\r\n"
ASK = b"GET /count HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
SOON_S = 20.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """/count: how long the body was. /early: answers before it. /slow: after 0.8 s. /large: much, for who reads it."""
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.8)
    body = b"%d" % size if scope["path"] != "/large" else b"x" * (64 << 20)
    told = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": told})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(autouse=True)
def as_in_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_GRPC_SERVER_OPTIONS", [])
    monkeypatch.setattr(uvicorn.config, "HTTP_PROTOCOLS", dict(uvicorn.config.HTTP_PROTOCOLS))
    proxy.configure()


class Port:
    def __init__(self, server: uvicorn.Server, number: int) -> None:
        self.server = server
        self.number = number
        self.opened: list[asyncio.StreamWriter] = []

    async def open(self, data: bytes = b"") -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        self.opened.append(writer)
        writer.write(data)
        return reader, writer


@asynccontextmanager
async def port() -> AsyncIterator[Port]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_keep_alive=90))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.01)
        here = Port(server, listening.getsockname()[1])
        try:
            yield here
        finally:
            for writer in here.opened:
                writer.close()
            server.should_exit = True
            await task
    assert not http_connection._waiting


async def answer(connection: Connection) -> tuple[int, bytes]:
    async def read() -> tuple[int, bytes]:
        head = await connection[0].readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        return int(head.split()[1]), await connection[0].readexactly(length)

    return await asyncio.wait_for(read(), SOON_S)


async def ended(connection: Connection) -> bytes:
    """What came before its end."""
    try:
        return await asyncio.wait_for(connection[0].read(), SOON_S)
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", b"a"),
        (b"GET /?", b"a"),
        (HEAD + b"x: ", b"a"),
        (HEAD + b"x", b"a"),
        (HEAD, b"x-a: b\r\n"),
        (ASK + ASK + HEAD, b"x-a: b\r\n"),
    ],
    ids=["path", "query", "value", "name", "headers", "of a later request"],
)
async def test_a_head_without_an_end_is_refused(begin: bytes, piece: bytes) -> None:
    async with port() as here:
        connection = await here.open(begin)
        for _ in range(begin.count(ASK)):
            assert await answer(connection) == (200, b"0")
        left = MAX_HEAD_BYTES - len(begin.removeprefix(ASK * 2))
        # In several pieces, of which none is too much.
        for _ in range(4):
            connection[1].write(piece * (left // 4 // len(piece)))
            await asyncio.sleep(0.01)
        connection[1].write(piece * 40)
        status, told = await answer(connection)
        assert (status, str(MAX_HEAD_BYTES) in told.decode()) == (431, True)
        assert await ended(connection) == b""


@pytest.mark.parametrize("begin", [CHUNKED + b"1\r\nx\r\n0\r\nt: ", CHUNKED + b"1;"], ids=["trailer", "extension"])
async def test_so_is_what_comes_in_a_body_and_is_none(begin: bytes) -> None:
    async with port() as here:
        connection = await here.open(begin)
        await asyncio.sleep(0.05)
        # That it came with a piece of body is not held against it once, so twice.
        connection[1].write(b"a" * (MAX_HEAD_BYTES + 1))
        await asyncio.sleep(0.05)
        connection[1].write(b"a" * (MAX_HEAD_BYTES + 1))
        await ended(connection)
        assert not here.server.server_state.connections


async def test_a_whole_head_has_the_same_limit() -> None:
    async with port() as here:
        connection = await here.open(HEAD + b"x: " + b"a" * (MAX_HEAD_BYTES - 1000) + b"\r\n\r\n")
        assert await answer(connection) == (200, b"0")
        connection[1].write(HEAD + b"x: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n")
        assert (await answer(connection))[0] == 431


async def test_bodies_have_none() -> None:
    size, piece = 30 << 20, b"10000\r\n" + b"x" * 65536 + b"\r\n"
    async with port() as here:
        connection = await here.open(HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size)
        assert await answer(connection) == (200, b"%d" % size)
        connection[1].write(CHUNKED + piece * (size // 65536) + b"0\r\n\r\n")
        assert await answer(connection) == (200, b"%d" % size)
        # Of which more bytes are none than are.
        connection[1].write(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n" + ASK)
        assert [await answer(connection) for _ in range(2)] == [(200, b"50000"), (200, b"0")]


async def test_a_head_has_its_time_and_an_answer_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "HEAD_S", 0.4)

    async def drip(connection: Connection) -> None:
        while True:
            connection[1].write(b"a")
            await asyncio.sleep(0.05)

    async with port() as here:
        slow = await here.open(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        kept = await here.open(ASK)
        assert await answer(kept) == (200, b"0")
        early = await here.open(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
        assert await answer(early) == (200, b"0")
        dripping = [early, await here.open(HEAD + b"x: ")]
        drips = [asyncio.create_task(drip(connection)) for connection in dripping]
        for connection in (await here.open(), await here.open(b"GET /count HT"), await here.open(HEAD), *dripping):
            assert await ended(connection) == b""
        for task in drips:
            task.cancel()
        assert await answer(slow) == (200, b"0")
        # uvicorn's own time is for those that have nothing to say.
        for connection in (slow, kept):
            connection[1].write(ASK)
            assert await answer(connection) == (200, b"0")


async def test_the_one_that_has_waited_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 4)
    async with port() as here:
        busy = [await here.open(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n") for _ in range(2)]
        idle = []
        for data in (b"", HEAD):
            idle.append(await here.open(data))
            await asyncio.sleep(0.05)
        assert await answer(await here.open(ASK)) == (200, b"0")
        assert await ended(idle[0]) == b""
        assert len(here.server.server_state.connections) == 4
        idle[1][1].write(b"\r\n")
        for connection in (idle[1], *busy):
            assert await answer(connection) == (200, b"0")


async def test_where_all_are_answered_a_newcomer_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 2)
    async with port() as here:
        busy = [await here.open(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n") for _ in range(2)]
        await asyncio.sleep(0.1)
        assert await ended(await here.open(ASK)) == b""
        for connection in busy:
            assert await answer(connection) == (200, b"0")


async def test_who_reads_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "READ_S", 0.3)
    async with port() as here:
        with socket.create_connection(("127.0.0.1", here.number)) as deaf:
            deaf.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")

            async def come_and_gone() -> None:
                for there in (True, False):
                    while bool(here.server.server_state.connections) != there:  # noqa: ASYNC110 - nor of these
                        await asyncio.sleep(0.02)

            await asyncio.wait_for(come_and_gone(), SOON_S)


def test_another_uvicorn_is_told_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(uvicorn.config, "HTTP_PROTOCOLS", {})
    proxy.configure()
    assert "HTTP port are not bounded" in caplog.text
    monkeypatch.setitem(sys.modules, "services.common.ingress.http_connection", None)
    proxy.configure()
    assert "another HTTP server: connections to it" in caplog.text
