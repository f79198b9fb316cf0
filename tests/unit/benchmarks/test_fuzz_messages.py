"""The fuzzer's messages are many, and the same again; its caller hears what gRPC's own does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError

from benchmarks.fuzz.headers import headers
from benchmarks.fuzz.messages import Messages
from benchmarks.fuzz.wire import WireCaller
from heroserve.v1.chat_pb2 import GenerateRequest
from heroserve.v1.encoder_pb2 import EncodeRequest

PICTURES = [b"\x89PNG\r\n\x1a\n and so on", b"\xff\xd8\xff and so on"]


def drawn(number: int) -> tuple[bytes, bytes]:
    messages = Messages(np.random.default_rng((0, number)), PICTURES, "0" * 64)
    return messages.encode(), messages.generate()


def parses(kind: Any, data: bytes) -> bool:
    try:
        kind.FromString(data)
    except DecodeError:
        return False
    return True


def test_messages_are_right_and_wrong_and_the_same_for_the_same_number():
    numbers = range(150)
    encode, generate = zip(*map(drawn, numbers), strict=True)
    assert (list(encode), list(generate)) == tuple(map(list, zip(*map(drawn, numbers), strict=True)))
    for kind, messages in ((EncodeRequest, encode), (GenerateRequest, generate)):
        assert len(set(messages)) > 100
        right = sum(parses(kind, data) for data in messages)
        assert 30 < right < 140


def test_headers_are_bent_and_mostly_good():
    random = np.random.default_rng(0)
    found = [headers(random, "llm", "key") for _ in range(500)]
    whole = ([(b"application", b"llm"), (b"authorization", b"Bearer key"), (b"grpc-timeout", b"10S")], True)
    assert 250 < found.count(whole) < 450
    assert {sane for _, sane in found} == {True, False}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(2))

    def echo(data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        if data == b"refuse":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "it is 100% wrong\nso")
        yield data
        yield data

    handler = grpc.unary_stream_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", {"C": handler}),))
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield port
    server.stop(None)


@pytest.fixture
async def caller(port: int) -> AsyncIterator[WireCaller]:
    caller = WireCaller(port)
    yield caller
    caller.close()


async def test_statuses_and_details_are_those_of_grpc(caller: WireCaller):
    ok = await caller.call("/a.B/C", [], b"x" * 300_000, 10)
    assert (ok.status, ok.details) == (0, "")
    refused = await caller.call("/a.B/C", [(b"request_id", b"1")], b"refuse", 10)
    assert (refused.status, refused.details) == (3, "it is 100% wrong\nso")
    unknown = await caller.call("/a.B/D", [], b"", 10)
    assert unknown.status == grpc.StatusCode.UNIMPLEMENTED.value[0]


async def test_a_connection_that_ends_at_its_age_is_made_anew():
    options = [("grpc.max_connection_age_ms", 50), ("grpc.max_connection_age_grace_ms", 1000)]
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    caller = WireCaller(server.add_insecure_port("localhost:0"))
    server.start()
    for _ in range(5):
        reply = await caller.call("/a.B/C", [], b"", 10)
        assert reply.status == grpc.StatusCode.UNIMPLEMENTED.value[0]
        await asyncio.sleep(0.08)
    server.stop(None).wait()
    # Nobody is there any more: no status, and no exception.
    assert (await caller.call("/a.B/C", [], b"", 10)).status is None
    caller.close()


async def test_a_connection_that_is_broken_off_is_no_status_and_silence_is_a_timeout():
    met = 0
    given_up = asyncio.Event()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        if met == 3:
            await reader.read()  # all it ever says, until it gives up
            given_up.set()
        writer.transport.abort()

    async with await asyncio.start_server(hang_up, "localhost") as server:
        caller = WireCaller(server.sockets[0].getsockname()[1])
        for _ in range(2):
            reply = await caller.call("/a.B/C", [], b"", 10)
            assert reply.status is None
            assert reply.details
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await caller.call("/a.B/C", [], b"", 0.1)
        caller.close()
        # A handler that the loop's end cancels is told as an error of whichever test comes then.
        await asyncio.wait_for(given_up.wait(), 10)
    assert met == 3
