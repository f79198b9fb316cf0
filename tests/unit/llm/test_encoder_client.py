"""What the encoder answers, in terms of the chat request."""

from __future__ import annotations

import socket

import grpc
import pytest

import heroserve
from heroserve.errors import EXCEPTIONS, from_status
from heroserve.v1 import encoder_pb2_grpc
from heroserve.v1.encoder_pb2 import EncoderDescription, EncodeRequest, VisualTokens
from heroserve.v1.tokens_pb2 import Budget, Image
from services.common import errors
from services.encoder.request import MAX_QUESTION_CHARS
from services.llm.encoder_client import EncoderClient
from services.llm.request import ImagePart
from services.llm.settings import LlmSettings

FIELD = "messages[2].parts[1].image"
SAME = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
}


@pytest.fixture
def client():
    return EncoderClient(LlmSettings(encoder_target="encoder.example:9000"))


@pytest.mark.parametrize("code", list(EXCEPTIONS), ids=lambda code: code.name)
def test_every_status_has_one_of_ours(client, code):
    error = client._translate(from_status(code, "image.data: is not an image"), FIELD)
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
    error = client._translate(kind("image: oh"), FIELD)
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
    error = client._translate(heroserve.InvalidArgument(details), FIELD)
    assert (error.field, error.problem) == (field, problem)


def test_a_question_too_long_for_the_encoder_is_told_in_the_chats_words(client):
    error = client._translate(heroserve.InvalidArgument("question: is 40000 characters; the limit is 32768"), FIELD)
    assert error.field.startswith("messages")


class Peer(encoder_pb2_grpc.VisionEncoderServicer):
    """An encoder on a real port that keeps what it got; ``fail`` is the status it ends with."""

    def __init__(self) -> None:
        self.requests: list[EncodeRequest] = []
        self.metadata: dict[str, str] = {}
        self.fail: tuple[grpc.StatusCode, str] | None = None

    async def Encode(self, request, context):
        self.metadata = dict(context.invocation_metadata())
        if self.fail:
            await context.abort(*self.fail)
        self.requests.append(request)
        return VisualTokens(image_digest="abc")

    async def Describe(self, request, context):
        return EncoderDescription(model="scripted")


@pytest.fixture
async def peer():
    peer = Peer()
    server = grpc.aio.server()
    encoder_pb2_grpc.add_VisionEncoderServicer_to_server(peer, server)
    peer.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield peer
    await server.stop(None)


@pytest.mark.parametrize("budget", [Budget(), Budget(retention=0.25), Budget(max_visual_tokens=9)], ids=str)
async def test_what_is_asked_for_arrives(peer, budget):
    client = EncoderClient(LlmSettings(encoder_target=peer.target, encoder_api_key="s3cret"))
    tokens = await client.encode(ImagePart(FIELD, Image(data=b"png")), "What?", budget)
    await client.close()
    assert tokens.image_digest == "abc"
    (request,) = peer.requests
    assert (request.image, request.question, request.budget) == (Image(data=b"png"), "What?", budget)
    assert peer.metadata["authorization"] == "Bearer s3cret"


async def test_of_a_long_question_the_beginning_is_sent(peer):
    client = EncoderClient(LlmSettings(encoder_target=peer.target))
    await client.encode(ImagePart(FIELD, Image(data=b"png")), "é" * 40_000 + "!", Budget())
    await client.close()
    question = peer.requests[0].question
    assert set(question) == {"é"}
    # What the encoder takes.
    assert 1000 < len(question) <= MAX_QUESTION_CHARS


async def test_a_refusal_over_the_wire(peer):
    client = EncoderClient(LlmSettings(encoder_target=peer.target))
    peer.fail = (grpc.StatusCode.INVALID_ARGUMENT, "image.data: is not an image")
    with pytest.raises(errors.InvalidArgument, match=r"^messages\[2\]\.parts\[1\]\.image\.data: is not an image"):
        await client.encode(ImagePart(FIELD, Image(data=b"png")), "What?", Budget())
    peer.fail = (grpc.StatusCode.NOT_FOUND, "image.digest: not in the cache")
    with pytest.raises(errors.NotFound, match=r"^messages\[2\]\.parts\[1\]\.image\.digest: not in the cache"):
        await client.encode(ImagePart(FIELD, Image(digest="ab" * 32)), "What?", Budget())
    await client.close()


async def test_an_empty_image_is_the_callers_mistake(client):
    with pytest.raises(errors.InvalidArgument, match=r"^messages\[2\]\.parts\[1\]\.image\.data: .*empty"):
        await client.encode(ImagePart(FIELD, Image(data=b"")), "What?", Budget())


async def test_describe_is_none_where_nobody_answers(peer):
    client = EncoderClient(LlmSettings(encoder_target=peer.target))
    assert (await client.describe()).model == "scripted"
    await client.close()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = EncoderClient(LlmSettings(encoder_target=f"127.0.0.1:{nobody.getsockname()[1]}"))
        assert await client.describe() is None
        await client.close()
