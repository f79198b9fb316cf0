"""What the encoder answers, in terms of the chat request."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import grpc
import pytest
import torch

import heroserve
from heroserve.errors import EXCEPTIONS, from_status
from heroserve.v1 import encoder_pb2_grpc
from heroserve.v1.encoder_pb2 import (
    EncoderDescription,
    EncodeRequest,
    Features,
    Grid,
    Tile,
    TileExplanation,
    VisualTokens,
    Window,
)
from heroserve.v1.tokens_pb2 import Budget, Image, Savings
from services.common import context, errors
from services.common.budget import MaxVisualTokens, Retention
from services.common.context import RequestContext
from services.common.rows import RowDtype
from services.common.tracing import Trace
from services.common.wire import MAX_QUESTION_CHARS
from services.families.grid import Placement
from services.llm import parts
from services.llm.doors import explained
from services.llm.doors import grpc as door
from services.llm.encoder_client import EncoderClient
from services.llm.explanation import TileTerms
from services.llm.job import ImagePart
from services.llm.refusal import Refusal, Role
from services.llm.settings import LlmSettings
from services.llm.splicer import Splicer

FIELD = "messages[2].parts[1].image"
TERMS = TileExplanation(saliency=0.5, relevance=0.25, density=0.125)
OWN = f"commit:{'a' * 40}"
PLACE = Role("image", 2, 1)
IMAGE = ImagePart(data=b"png")
SAME = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
}


def connect(target: str, api_key: str = "", rows: RowDtype | None = None) -> EncoderClient:
    return EncoderClient(
        target, api_key=api_key, timeout_s=120, feature_width=2, model="a model", checkpoint=OWN, rows=rows
    )


class Narrow(Splicer):
    """Of which an encoder's client wants the width alone."""

    feature_width = 2

    def __init__(self) -> None: ...


def told(client: EncoderClient, error: heroserve.HeroserveError) -> errors.ServiceError:
    """What a caller over gRPC gets of an encoder's error."""
    translated = client._translate(error, PLACE)
    return door.WORDS.refused(translated) if isinstance(translated, Refusal) else translated


@pytest.fixture
def client():
    return connect("encoder.example:9000")


@pytest.mark.parametrize("code", list(EXCEPTIONS), ids=lambda code: code.name)
def test_every_status_has_one_of_ours(client, code):
    error = told(client, from_status(code, "image.data: is not an image"))
    wanted = SAME.get(code, errors.Internal)
    assert type(error) is wanted
    if wanted is errors.InvalidArgument:
        assert error.message == f"{FIELD}.data: is not an image"
    elif wanted is errors.NotFound:
        assert error.message == f"{FIELD}.digest: is not an image"
    else:
        assert "encoder at encoder.example:9000" in error.message
        assert "image.data: is not an image" in error.message
    if wanted is errors.Internal:
        assert code.name in error.message


@pytest.mark.parametrize("kind", sorted(set(EXCEPTIONS.values()) | {heroserve.ImageError}, key=lambda k: k.__name__))
def test_an_exception_without_a_status_has_that_of_its_class(client, kind):
    error = told(client, kind("image: oh"))
    assert type(error) is SAME.get(kind.default_code, errors.Internal)


@pytest.mark.parametrize(
    ("details", "field", "problem"),
    [
        ("image.data: is 9 bytes; the limit is 8: sorry", f"{FIELD}.data", "is 9 bytes; the limit is 8: sorry"),
        ("image.digest: must be a SHA-256", f"{FIELD}.digest", "must be a SHA-256"),
        ("image: is missing", FIELD, "is missing"),
        ("budget.retention: is 2", "budget.retention", "is 2"),
    ],
)
def test_fields_are_those_of_the_chat_request(client, details, field, problem):
    error = told(client, heroserve.InvalidArgument(details))
    assert (error.field, error.problem) == (field, problem)


def test_a_question_too_long_for_the_encoder_is_told_in_the_chats_words(client):
    error = told(client, heroserve.InvalidArgument("question: is 40000 characters; the limit is 32768"))
    assert error.field.startswith("messages")


class Peer(encoder_pb2_grpc.VisionEncoderServicer):
    """An encoder on a real port that keeps what it got; ``fail`` is the status it ends with."""

    def __init__(self) -> None:
        self.requests: list[EncodeRequest] = []
        self.metadata: dict[str, str] = {}
        self.remaining_s = 0.0
        self.fail: tuple[grpc.StatusCode, str] | None = None
        self.hint = ""
        self.tries = 0
        self.cols = 2
        self.features: Features | None = None
        self.relevance = 0.0
        self.model = "a model"
        self.checkpoint = OWN
        self.target = "127.0.0.1:0"

    async def Encode(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        self.remaining_s = context.time_remaining()
        self.tries += 1
        if self.fail:
            context.set_trailing_metadata([("grpc-retry-pushback-ms", self.hint)] if self.hint else [])
            await context.abort(*self.fail)
        self.requests.append(request)
        return VisualTokens(
            image_digest="ab" * 32,
            grid=Grid(
                rows=1,
                cols=1,
                patches_per_side=2,
                tile_size=28,
                token_size=14,
                placement=Window(top=1, bottom=20, left=0, right=28),
            ),
            tiles=[
                Tile(positions=[1, 3], valid=4),
                Tile(index=1, positions=[2], valid=4, importance=0.75, explanation=TERMS if request.explain else None),
            ],
            features=self.features
            or Features(dtype=Features.FLOAT16, rows=3, cols=self.cols, data=bytes(6 * self.cols)),
            savings=Savings(total=8, kept=3, dropped=5),
            model=self.model,
            checkpoint=self.checkpoint,
            relevance=self.relevance,
        )

    async def start(self) -> None:
        self._server = grpc.aio.server()
        encoder_pb2_grpc.add_VisionEncoderServicer_to_server(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port(self.target)}"
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    async def Describe(self, request, context):
        return EncoderDescription(model="scripted")


@pytest.fixture
async def peer():
    peer = Peer()
    await peer.start()
    yield peer
    await peer.stop()


@pytest.mark.parametrize(
    ("budget", "sent"),
    [
        (None, Budget()),
        (Retention(0.25), Budget(retention=0.25)),
        (MaxVisualTokens(9), Budget(max_visual_tokens=9)),
    ],
    ids=str,
)
async def test_what_is_asked_for_arrives(peer, budget, sent):
    client = connect(peer.target, "s3cret")
    image = await client.fetch(PLACE, IMAGE, "What?", budget)
    await client.close()
    assert [kept.tolist() for kept in image.kept] == [[1, 3], [2]]
    assert (image.grid.rows, image.grid.cols, image.grid.side, image.total) == (1, 1, 2, 8)
    assert (image.features.dtype, image.features.shape) == (torch.float16, (3, 2))
    (request,) = peer.requests
    assert (request.image, request.question, request.budget) == (Image(data=b"png"), "What?", sent)
    assert peer.metadata["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(("rows", "sent"), [("", 0), ("bfloat16", Features.BFLOAT16), ("int8", Features.INT8)])
async def test_rows_are_asked_for_as_a_setting_says(peer, rows, sent):
    settings = LlmSettings.from_env({"HEROSERVE_ENCODER_TARGET": peer.target, "HEROSERVE_ENCODER_ROWS": rows})
    client = parts.open_encoder(settings, Narrow(), OWN)
    image = await client.fetch(PLACE, IMAGE, "What?", None)
    await client.close()
    assert [request.rows for request in peer.requests] == [sent]
    # An encoder that is too old to know of it sends them as it has them.
    assert (image.features.dtype, image.features.shape) == (torch.float16, (3, 2))


async def test_int8_rows_are_read_as_the_proto_says(peer):
    row = struct.pack("<f2b", 0.5, 127, -2)
    peer.features = Features(dtype=Features.INT8, rows=3, cols=2, data=row * 3)
    client = connect(peer.target, rows="int8")
    image = await client.fetch(PLACE, IMAGE, "What?", None)
    await client.close()
    assert torch.equal(image.features, torch.tensor([[63.5, -1.0]] * 3))


async def test_why_it_was_kept(peer):
    client = connect(peer.target)
    told = await client.fetch(PLACE, IMAGE, "What?", None, explain=True)
    silent = await client.fetch(PLACE, IMAGE, "What?", None)
    await client.close()
    assert [request.explain for request in peer.requests] == [True, False]
    assert silent.explanation is None
    found = told.explanation
    assert (found.digest, found.question, found.total) == ("ab" * 32, "What?", 8)
    assert found.grid == told.grid
    assert found.placement == Placement(28, 14, 1, 20, 0, 28)
    assert [kept.tolist() for kept in found.kept] == [[1, 3], [2]]
    assert found.tiles == (TileTerms(4, 0, 0, 0, 0), TileTerms(4, 0.75, 0.5, 0.25, 0.125))
    # And on over the wire, as the encoder told it.
    message = explained.message(found)
    assert (message.grid.placement, message.grid.token_size) == (Window(top=1, bottom=20, left=0, right=28), 14)
    assert message.tiles[1] == Tile(index=1, positions=[2], valid=4, importance=0.75, explanation=TERMS)
    assert not message.tiles[0].HasField("explanation")
    assert message.savings == Savings(total=8, kept=3, dropped=5)


async def test_what_would_be_kept(peer):
    peer.relevance = 21.5
    client = connect(peer.target)
    planned = await client.plan(PLACE, IMAGE, "What?", MaxVisualTokens(9))
    await client.close()
    (request,) = peer.requests
    assert request.plan_only
    assert (request.image, request.question, request.budget.max_visual_tokens) == (Image(data=b"png"), "What?", 9)
    assert (planned.total, planned.relevance) == (8, 21.5)


async def test_a_digest_is_sent_as_one(peer):
    client = connect(peer.target)
    await client.fetch(PLACE, ImagePart(digest="ab" * 32), "What?", None)
    await client.close()
    assert peer.requests[0].image == Image(digest="ab" * 32)


async def test_an_encoder_of_another_model_is_told(peer):
    client = connect(peer.target)
    peer.cols = 4
    with pytest.raises(errors.Internal, match=r"serves another model: its features are 4 wide, .* takes 2"):
        await client.fetch(PLACE, IMAGE, "What?", None)
    await client.close()


@pytest.mark.parametrize(
    ("checkpoint", "remedy"),
    [
        (f"commit:{'b' * 40}", "HEROSERVE_MODEL and HEROSERVE_REVISION alike in both"),
        (f"digest:{'a' * 16}-{'b' * 24}", "a hub id and a folder can't be compared"),
        (f"digest:{'a' * 16}-incomplete", "a hub id and a folder can't be compared"),
        ("of a later version", "HEROSERVE_MODEL and HEROSERVE_REVISION alike in both"),
    ],
)
async def test_rows_of_another_checkpoint_are_refused_and_both_are_named(peer, checkpoint, remedy):
    """As wide as they are: that every answer is looked at is what lets a rolling update go by without a restart."""
    client = connect(peer.target)
    for _ in range(2):
        peer.model, peer.checkpoint = "another model", checkpoint
        with pytest.raises(errors.FailedPrecondition) as refused:
            await client.fetch(PLACE, IMAGE, "What?", None)
        (line,) = str(refused.value).splitlines()
        assert all(said in line for said in (peer.target, "'another model'", "'a model'", checkpoint, OWN, remedy))
        peer.model, peer.checkpoint = "a model", OWN
        assert (await client.fetch(PLACE, IMAGE, "What?", None)).total == 8
    # By whatever name: the encoder's folder may be mounted elsewhere.
    peer.model = "/mnt/model"
    assert (await client.fetch(PLACE, IMAGE, "What?", None)).total == 8
    await client.close()


async def test_an_older_encoder_is_taken_at_its_word_with_one_warning(peer, caplog):
    client = connect(peer.target)
    peer.model = peer.checkpoint = ""
    for _ in range(3):
        assert (await client.fetch(PLACE, IMAGE, "What?", None)).total == 8
    await client.close()
    (warning,) = [record for record in caplog.records if record.name == "services.llm.encoder_client"]
    assert (warning.levelname, peer.target in warning.getMessage()) == ("WARNING", True)


async def test_of_a_long_question_the_beginning_is_sent(peer):
    client = connect(peer.target)
    await client.fetch(PLACE, IMAGE, "é" * 40_000 + "!", None)
    await client.close()
    question = peer.requests[0].question
    assert set(question) == {"é"}
    # What the encoder takes.
    assert 1000 < len(question) <= MAX_QUESTION_CHARS


async def test_a_refusal_over_the_wire(peer):
    client = connect(peer.target)
    peer.fail = (grpc.StatusCode.INVALID_ARGUMENT, "image.data: is not an image")
    with pytest.raises(Refusal, match=r"^image_data: is not an image") as refused:
        await client.fetch(PLACE, IMAGE, "What?", None)
    assert (refused.value.role, refused.value.missing) == (Role("image_data", 2, 1), False)
    peer.fail = (grpc.StatusCode.NOT_FOUND, "image.digest: not in the cache")
    with pytest.raises(Refusal, match=r"^image_digest: not in the cache") as refused:
        await client.fetch(PLACE, ImagePart(digest="ab" * 32), "What?", None)
    assert (refused.value.role, refused.value.missing) == (Role("image_digest", 2, 1), True)
    await client.close()


@pytest.mark.parametrize(
    ("code", "kind", "tries", "hint_s"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.ResourceExhausted, 1, 0.01),
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable, 5, -1),
    ],
)
async def test_one_layer_tries_again(peer, code, kind, tries, hint_s):
    """Overload is the caller's to come back from; what was tried here, it need not try."""
    client = connect(peer.target)
    peer.fail, peer.hint = (code, "oh"), "10"
    with pytest.raises(kind, match="oh") as caught:
        await client.fetch(PLACE, IMAGE, "What?", None)
    await client.close()
    assert (peer.tries, caught.value.retry_after_s) == (tries, hint_s)


async def test_an_encoder_that_restarts_is_waited_for(peer):
    """Longer than all the pauses of a caller's own retries together."""
    await peer.stop()
    client = connect(peer.target)
    fetching = asyncio.ensure_future(client.fetch(PLACE, IMAGE, "What?", None))
    await asyncio.sleep(4)
    assert not fetching.done()
    await peer.start()
    assert (await fetching).total == 8
    await client.close()


async def test_an_encoder_that_is_gone_is_told_at_the_callers_deadline(peer):
    await peer.stop()
    client = connect(peer.target)
    begun = time.monotonic()
    gone = pytest.raises((errors.Unavailable, errors.DeadlineExceeded), match="refused")
    with context.serving(RequestContext("mine", deadline=begun + 1)), gone:
        await client.fetch(PLACE, IMAGE, "What?", None)
    assert 0.8 < time.monotonic() - begun < 10
    await client.close()


async def test_an_empty_image_is_the_callers_mistake(client):
    with pytest.raises(Refusal, match=r"^image_data: .*empty"):
        await client.fetch(PLACE, ImagePart(data=b""), "What?", None)


async def test_describe_is_none_where_nobody_answers(peer):
    client = connect(peer.target)
    assert (await client.describe()).model == "scripted"
    await client.close()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = connect(f"127.0.0.1:{nobody.getsockname()[1]}")
        begun = time.monotonic()
        assert await client.describe() is None
        assert time.monotonic() - begun < 4
        await client.close()


@pytest.mark.parametrize(("left_s", "most_s"), [(9, 9), (1000, 120)])
async def test_id_trace_and_what_is_left_of_the_deadline_go_along(peer, left_s, most_s):
    client = connect(peer.target)
    trace = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1")
    with context.serving(RequestContext("mine", deadline=time.monotonic() + left_s, trace=trace)):
        await client.fetch(PLACE, IMAGE, "what?", Retention(0.5))
    await client.close()
    assert peer.metadata["request_id"] == "mine"
    assert trace.headers.items() <= peer.metadata.items()
    # gRPC rounds what it sends up.
    assert most_s - 5 < peer.remaining_s < most_s + 2


async def test_whose_request_it_is_goes_along(peer):
    client = connect(peer.target, "the services")
    for scope in ("0123" * 8, "", "4567" * 8):
        with context.serving(RequestContext("mine", scope=scope)):
            await client.fetch(PLACE, IMAGE, "what?", Retention(0.5))
            assert peer.metadata.get("heroserve-scope", "") == scope
            # That another's was sent before is not told by a digest that is tried first.
            assert peer.requests[-1].image == Image(data=b"png")
            await client.fetch(PLACE, IMAGE, "what?", Retention(0.5))
            assert peer.requests[-1].image.digest
    await client.close()


async def test_without_a_request_the_call_has_an_id_of_its_own(peer):
    client = connect(peer.target)
    await client.fetch(PLACE, IMAGE, "what?", Retention(0.5))
    await client.close()
    assert len(peer.metadata["request_id"]) == 32
    assert "traceparent" not in peer.metadata
