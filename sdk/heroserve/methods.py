"""The RPCs of heroserve.v1, with their types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from heroserve.v1.chat_pb2 import ChatDescription, DescribeChatRequest, GenerateRequest, GenerateResponse
from heroserve.v1.encoder_pb2 import (
    DescribeEncoderRequest,
    EncodeChunk,
    EncoderDescription,
    EncodeRequest,
    VisualTokens,
)

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """One RPC.

    Attributes:
        service, name: as in the proto.
        request, response: the message classes.
        streams: whether the response is a stream.
    """

    service: str
    name: str
    request: type[Request]
    response: type[Response]
    streams: bool = False

    @property
    def path(self) -> str:
        """The HTTP/2 path of the RPC."""
        return f"/{self.service}/{self.name}"


_CHAT = "heroserve.v1.VisionChat"
_ENCODER = "heroserve.v1.VisionEncoder"

GENERATE = Method(_CHAT, "Generate", GenerateRequest, GenerateResponse, streams=True)
DESCRIBE = Method(_CHAT, "Describe", DescribeChatRequest, ChatDescription)
ENCODE = Method(_ENCODER, "Encode", EncodeRequest, VisualTokens)
ENCODE_STREAM = Method(_ENCODER, "EncodeStream", EncodeRequest, EncodeChunk, streams=True)
DESCRIBE_ENCODER = Method(_ENCODER, "Describe", DescribeEncoderRequest, EncoderDescription)
