"""A scripted peer on a real port, and both clients behind one face, so that one test covers the two."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest

from heroserve import AsyncClient, Client, RetryPolicy
from heroserve.cli import calling
from heroserve.digests import images_of
from heroserve.v1 import chat_pb2, chat_pb2_grpc, encoder_pb2, encoder_pb2_grpc, tokens_pb2

FAST = RetryPolicy(attempts=4, initial_backoff_s=0.01, max_backoff_s=0.02)
SAVINGS = tokens_pb2.Savings(total=1300, kept=260, dropped=1040)
LAST = chat_pb2.GenerateResponse(
    finish_reason=chat_pb2.GenerateResponse.STOP,
    usage=chat_pb2.Usage(
        prompt_text_tokens=20, prompt_visual_tokens=260, prompt_newline_tokens=12, completion_tokens=3
    ),
    savings=SAVINGS,
    timings=chat_pb2.ChatTimings(encode=0.12, time_to_first_token=0.2, total=0.9),
)
# The server parses what it gets by the path it came on, so the type tells the path where two don't share one.
PATHS = {
    chat_pb2.GenerateRequest: "/heroserve.v1.VisionChat/Generate",
    chat_pb2.DescribeChatRequest: "/heroserve.v1.VisionChat/Describe",
    encoder_pb2.DescribeEncoderRequest: "/heroserve.v1.VisionEncoder/Describe",
}

_ENCODE = "/heroserve.v1.VisionEncoder/Encode"


@dataclass
class Seen:
    """What arrived in one attempt."""

    rpc: str
    request: Any
    metadata: dict[str, str]
    remaining_s: float
    connection: str  # the client's end of it

    @property
    def image_bytes(self) -> int:
        return sum(len(image.data) for image in images_of(self.request))


class ScriptedPeer(chat_pb2_grpc.VisionChatServicer, encoder_pb2_grpc.VisionEncoderServicer):
    """Both services. `script` has what the next attempts meet: a status to fail with, or a function to run."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: deque[grpc.StatusCode | Callable[..., Any]] = deque()
        self.stored: set[str] = set()
        self.deltas = ["A ", "red ", "[bold]bus"]
        self.chat = chat_pb2.ChatDescription(model="scripted", trained=True)
        self.cancelled = threading.Event()
        self.target = ""
        self.stop: Callable[[], Any] = lambda: None

    def Generate(self, request, context):
        if isinstance(step := self._enter(request, context), Iterator):
            yield from step
            return
        for delta in self.deltas:
            yield chat_pb2.GenerateResponse(delta=delta)
        yield LAST

    def Encode(self, request, context):
        return self._enter(request, context, _ENCODE) or self._tokens()

    def EncodeStream(self, request, context):
        if isinstance(step := self._enter(request, context, f"{_ENCODE}Stream"), Iterator):
            yield from step
            return
        tokens = self._tokens()
        data = tokens.features.data
        tokens.features.ClearField("data")
        yield encoder_pb2.EncodeChunk(tokens=tokens)
        for tile, (start, end) in enumerate([(0, 400), (400, 880), (880, 1040)]):
            yield encoder_pb2.EncodeChunk(tile=tile, data=data[start:end])

    def _tokens(self):
        return encoder_pb2.VisualTokens(
            grid=encoder_pb2.Grid(rows=1, cols=2, patches_per_side=24, image_width=640, image_height=300),
            tiles=[
                encoder_pb2.Tile(index=0, valid=576, positions=range(100)),
                encoder_pb2.Tile(index=1, valid=400, importance=0.75, positions=range(120)),
                encoder_pb2.Tile(index=2, valid=324, importance=0.25, positions=range(40)),
            ],
            features=encoder_pb2.Features(
                dtype=encoder_pb2.Features.FLOAT32, rows=260, cols=1, data=bytes(range(208)) * 5
            ),
            savings=SAVINGS,
            cache=encoder_pb2.VisualTokens.HIT,
        )

    def Describe(self, request, context):
        step = self._enter(request, context)
        if isinstance(request, chat_pb2.DescribeChatRequest):
            return step or self.chat
        return step or encoder_pb2.EncoderDescription(model="scripted tower", trained=True)

    def _enter(self, request, context, rpc=None):
        metadata = dict(context.invocation_metadata())
        self.seen.append(
            Seen(rpc or PATHS[type(request)], request, metadata, context.time_remaining(), connection=context.peer())
        )
        step = self.script.popleft() if self.script else None
        if isinstance(step, grpc.StatusCode):
            context.abort(step, f"scripted {step.name}")
        if step is not None:
            return step(request, context)
        for image in images_of(request):
            if image.data:
                self.stored.add(hashlib.sha256(image.data).hexdigest())
            elif image.digest not in self.stored:
                context.abort(grpc.StatusCode.NOT_FOUND, f"image.digest: {image.digest} is not cached")
        return None

    def hang(self, request, context) -> Iterator[chat_pb2.GenerateResponse]:
        """A script's step: one delta, then silence until the client gives up."""
        context.add_callback(self.cancelled.set)
        yield chat_pb2.GenerateResponse(delta="Well, ")
        self.cancelled.wait(10)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedPeer]]:
    """Starts peers on free ports."""
    servers = []

    def start(max_bytes: int = 64 << 20, address: str = "127.0.0.1:0") -> ScriptedPeer:
        peer = ScriptedPeer()
        options = [("grpc.max_receive_message_length", max_bytes)]
        server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
        chat_pb2_grpc.add_VisionChatServicer_to_server(peer, server)
        encoder_pb2_grpc.add_VisionEncoderServicer_to_server(peer, server)
        peer.target = f"127.0.0.1:{server.add_insecure_port(address)}"
        server.start()
        peer.stop = lambda: server.stop(None).wait()
        servers.append(server)
        return peer

    yield start
    for server in servers:
        server.stop(None)


def asked(peer: ScriptedPeer) -> list[chat_pb2.GenerateRequest]:
    """The questions that have arrived, in order."""
    return [seen.request for seen in peer.seen if isinstance(seen.request, chat_pb2.GenerateRequest)]


@pytest.fixture
def peer(serve) -> ScriptedPeer:
    return serve()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command tries as often as ever, with pauses of milliseconds."""
    monkeypatch.setattr(calling, "_RETRY", replace(calling._RETRY, initial_backoff_s=0.01, max_backoff_s=0.02))


class BlockingStream:
    """An AsyncStream, iterated from outside its loop."""

    def __init__(self, stream, loop) -> None:
        self._stream, self._loop = stream, loop

    def __iter__(self):
        pieces = self._stream.__aiter__()
        while True:
            try:
                yield self._loop.run_until_complete(anext(pieces))
            except StopAsyncIteration:
                return

    def read(self):
        return self._loop.run_until_complete(self._stream.read())

    def __getattr__(self, name):
        return getattr(self._stream, name)


class BlockingClient:
    """An AsyncClient with Client's face."""

    def __init__(self, *args, **kwargs) -> None:
        self.loop = asyncio.new_event_loop()
        self._client = AsyncClient(*args, **kwargs)

    def stream(self, *args, **kwargs):
        return BlockingStream(self._client.stream(*args, **kwargs), self.loop)

    def generate(self, *args, **kwargs):
        return BlockingStream(self._client.generate(*args, **kwargs), self.loop)

    def encode_stream(self, *args, **kwargs):
        return BlockingStream(self._client.encode_stream(*args, **kwargs), self.loop)

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self.loop.run_until_complete(method(*args, **kwargs))


@pytest.fixture(params=[Client, BlockingClient], ids=["sync", "async"])
def connect(request) -> Iterator[Callable[..., Any]]:
    """Makes clients of a peer, of either kind; closes them."""
    clients = []

    def make(peer: ScriptedPeer, **kwargs):
        clients.append(request.param(peer.target, **{"encoder_target": peer.target, "retry": FAST, **kwargs}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
        if isinstance(client, BlockingClient):
            client.loop.close()


@pytest.fixture
def client(connect, peer):
    return connect(peer)
