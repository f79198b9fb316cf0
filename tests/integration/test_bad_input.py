"""What callers get wrong: a status, a message that names the field and the limit, and a service that lives on."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Callable

import grpc
import pytest

import heroserve
from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part, Sampling
from heroserve.v1.chat_pb2_grpc import VisionChatStub
from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.encoder_pb2_grpc import VisionEncoderStub
from heroserve.v1.tokens_pb2 import Budget, Image
from tests.support.pictures import encoded, picture
from tests.support.services import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, Services

GOOD = encoded(picture(200, 150), "JPEG")


def png_claiming(width: int, height: int) -> bytes:
    """A PNG file whose header promises this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\x00" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


IMAGES = {
    "not an image": (b"%PDF-1.7 not an image", r"image\.data: is not an image"),
    "empty": (b"", r"image\.data: is empty"),
    "truncated JPEG": (encoded(picture(400, 400), "JPEG")[:4000], r"image\.data: is damaged or truncated"),
    "decompression bomb": (png_claiming(60_000, 60_000), rf"image\.data: has .*limit is {MAX_IMAGE_PIXELS}"),
    "0x0": (png_claiming(0, 0), r"image\.data: "),
    "too many bytes": (b"\xff\xd8" + bytes(MAX_IMAGE_BYTES), rf"image\.data: is \d+ bytes; .* {MAX_IMAGE_BYTES} bytes"),
    "too many pixels": (encoded(picture(2001, 2000), "JPEG"), rf"image\.data: has 2001x2000.*{MAX_IMAGE_PIXELS}"),
    "aspect 500:1": (encoded(picture(1500, 3)), r"image\.data: .*aspect ratio of 500:1; the limit is \d+:1"),
}
BUDGETS = {
    "retention 0": (Budget(retention=0), r"budget\.retention: is 0; it must be above 0 and at most 1"),
    "retention -1": (Budget(retention=-1), r"budget\.retention: is -1;"),
    "retention NaN": (Budget(retention=math.nan), r"budget\.retention: is nan;"),
    "retention 2": (Budget(retention=2), r"budget\.retention: is 2;"),
    "max_visual_tokens 0": (Budget(max_visual_tokens=0), r"budget\.max_visual_tokens: is 0; it must be at least 1"),
}


@pytest.fixture(scope="module")
def channel(services: Services):
    with grpc.insecure_channel(services.grpc) as channel:
        yield channel


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as failure:
        call()
    return failure.value.code(), failure.value.details()


def encode(channel: grpc.Channel, request: EncodeRequest):
    return lambda: VisionEncoderStub(channel).Encode(request, metadata=[("application", "encoder")], timeout=60)


def generate(channel: grpc.Channel, request: GenerateRequest):
    metadata = [("application", "llm")]
    return lambda: list(VisionChatStub(channel).Generate(request, metadata=metadata, timeout=60))


def user(*parts: Part) -> GenerateRequest:
    return GenerateRequest(messages=[Message(role=Message.USER, parts=parts)])


def image_part(data: bytes = GOOD) -> Part:
    return Part(image=Image(data=data))


@pytest.mark.parametrize("case", IMAGES)
def test_bad_images(channel: grpc.Channel, client: heroserve.Client, case: str):
    data, message = IMAGES[case]
    code, details = refused(encode(channel, EncodeRequest(image=Image(data=data), question="What?")))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.match(message, details), details
    # The LLM service says the same of its own field.
    code, details = refused(generate(channel, user(image_part(data), Part(text="What?"))))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.match(r"messages\[0\]\.parts\[0\]\." + message, details), details
    assert client.encode(GOOD, "What?").features.rows > 0


@pytest.mark.parametrize("case", BUDGETS)
def test_bad_budgets(channel: grpc.Channel, client: heroserve.Client, case: str):
    budget, message = BUDGETS[case]
    request = EncodeRequest(image=Image(data=GOOD), question="What?", budget=budget)
    code, details = refused(encode(channel, request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.match(message, details), details
    chat = user(image_part(), Part(text="What?"))
    chat.budget.CopyFrom(budget)
    code, details = refused(generate(channel, chat))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.match(message, details), details


ENCODE = {
    "no image": (EncodeRequest(question="What?"), r"image: is missing; send data or a digest"),
    "empty question": (EncodeRequest(image=Image(data=GOOD)), r"question: is empty"),
    "blank question": (EncodeRequest(image=Image(data=GOOD), question=" \n"), r"question: is empty"),
    "malformed digest": (
        EncodeRequest(image=Image(digest="abc"), question="What?"),
        r"image\.digest: must be a SHA-256",
    ),
}
TEXT = Part(text="What?")
CHAT = {
    "no messages": (GenerateRequest(), r"messages: is empty"),
    "empty question": (user(image_part(), Part(text=" ")), r"messages\[0\]\.parts: has no text"),
    "image without text": (user(image_part()), r"messages\[0\]\.parts: has no text"),
    "three images": (
        user(image_part(), image_part(), image_part(), TEXT),
        r"messages: have 3 images; the limit is 1",
    ),
    "empty part": (user(Part(), TEXT), r"messages\[0\]\.parts\[0\]: is empty"),
    "image of nothing": (user(Part(image=Image()), TEXT), r"messages\[0\]\.parts\[0\]\.image: is missing"),
    "placeholder in pieces": (
        user(Part(text="an <ima"), Part(text="ge> here")),
        r"messages\[0\]\.parts: make the model's tokenizer read '<image>', which is reserved",
    ),
    "no role": (GenerateRequest(messages=[Message(parts=[TEXT])]), r"messages\[0\]\.role: is missing"),
    "max_tokens 0": (
        GenerateRequest(messages=user(TEXT).messages, sampling=Sampling(max_tokens=0)),
        r"sampling\.max_tokens: is 0; it must be at least 1",
    ),
    "max_tokens beyond the context": (
        GenerateRequest(messages=user(TEXT).messages, sampling=Sampling(max_tokens=5000)),
        r"sampling\.max_tokens: is 5000; .* the limit is \d+ of 4096",
    ),
    "prompt beyond the context": (
        user(Part(text="word " * 9000)),
        r"messages: make a prompt of \d+ tokens; the limit is 4096",
    ),
    "temperature NaN": (
        GenerateRequest(messages=user(TEXT).messages, sampling=Sampling(temperature=math.nan)),
        r"sampling\.temperature: is nan; it must be 0 to 2",
    ),
}


@pytest.mark.parametrize("case", ENCODE)
def test_bad_encode_requests(channel: grpc.Channel, case: str):
    request, message = ENCODE[case]
    code, details = refused(encode(channel, request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.match(message, details), details


@pytest.mark.parametrize("case", CHAT)
def test_bad_chat_requests(channel: grpc.Channel, case: str):
    request, message = CHAT[case]
    code, details = refused(generate(channel, request))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert re.match(message, details), details


def test_unknown_digest(channel: grpc.Channel):
    code, details = refused(encode(channel, EncodeRequest(image=Image(digest="0" * 64), question="What?")))
    assert code is grpc.StatusCode.NOT_FOUND
    assert details.startswith("image.digest: ")


def test_everyone_is_still_served(client: heroserve.Client, services: Services):
    answer = client.ask(GOOD, "What is left?", retention=0.5, max_tokens=3)
    assert answer.usage.completion_tokens > 0
    assert services.sample("encoder", "heroserve_encoder_requests_total", code="INTERNAL") == 0
    assert services.sample("llm", "heroserve_chat_requests_total", code="INTERNAL") == 0
    assert services.sample("encoder", "heroserve_encoder_requests_total", code="INVALID_ARGUMENT") > len(IMAGES)
