"""Requests whose parts are counted before they are parsed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heroserve.v1.chat_pb2 import GenerateRequest, Message, Part
from heroserve.v1.encoder_pb2 import EncodeRequest
from heroserve.v1.tokens_pb2 import Image
from services.common.errors import InvalidArgument
from services.common.ingress.sizes import MAX_FIELDS, MAX_TEXT_BYTES, check_size

TEXT = Part(text="why?")
EMPTY = Part(text="")


def conversation(*turns: Message) -> bytes:
    return GenerateRequest(messages=turns).SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        conversation(),
        conversation(Message(parts=[TEXT])),
        # As large as a message may be.
        conversation(Message(role=Message.USER, parts=[Part(image=Image(data=bytes(50_000_000))), TEXT])),
        conversation(*[Message(role=Message.USER, parts=[TEXT])] * 2000),
        conversation(Message(parts=[Part(text="\U0001f600" * 262_144)])),
    ],
    ids=["nothing", "no message", "one part", "a large image", "many turns", "all the text there may be"],
)
def test_ordinary_requests_pass(data):
    check_size(GenerateRequest, data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (conversation(Message(parts=[EMPTY] * 1_000_000)), f"more than {MAX_FIELDS} messages, parts"),
        (conversation(*[Message()] * 1_000_000), f"more than {MAX_FIELDS} messages, parts"),
        (b"\x18\x01" * 1_000_000, f"more than {MAX_FIELDS} messages, parts"),
        (conversation(Message(parts=[Part(text="x" * MAX_TEXT_BYTES)])), f"the limit is {MAX_TEXT_BYTES}"),
        # An image that is nowhere an image is none.
        (b"\x7a\x80\x80\x80\x02" + bytes(4 << 20), f"the limit is {MAX_TEXT_BYTES}"),
    ],
    ids=["parts", "messages", "unknown numbers", "text", "unknown bytes"],
)
def test_what_would_take_long_is_refused_at_once(data, told):
    started = time.process_time()
    with pytest.raises(InvalidArgument, match=told):
        check_size(GenerateRequest, data)
    # Half a second and more, if it went through the whole.
    assert time.process_time() - started < 0.3


def test_other_requests_have_nothing_to_count():
    check_size(EncodeRequest, EncodeRequest(question="x" * 3_000_000).SerializeToString())


@given(st.binary(max_size=200))
def test_what_is_no_protobuf_is_left_to_the_parser(data):
    check_size(GenerateRequest, data)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_damaged_request_is_left_to_the_parser(tail, cut):
    check_size(GenerateRequest, conversation(Message(parts=[TEXT, EMPTY]), Message(role=Message.SYSTEM))[:cut] + tail)
