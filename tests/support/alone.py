"""A client of protos/ alone: none of our own code, generated or not, is behind its messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "heroserve.v1"


class Alone:
    """Messages and calls by the names in the protos.

    Args:
        files: what protoc makes of the protos.
        channel: as anybody opens one: nothing is set.
    """

    def __init__(self, files: Iterable[FileDescriptorProto], channel: grpc.Channel) -> None:
        self._pool = DescriptorPool()
        for file in files:
            self._pool.Add(file)  # type: ignore[no-untyped-call]
        self._channel = channel

    def make(self, message: str, **fields: Any) -> Any:
        """A message."""
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{_PACKAGE}.{message}"))(**fields)  # type: ignore[no-untyped-call]

    def call(self, service: str, method: str, request: Any, **options: Any) -> Any:
        """The responses of a call, which are iterated; of a method that streams none, the one."""
        found = self._pool.FindServiceByName(f"{_PACKAGE}.{service}").FindMethodByName(method)  # type: ignore[no-untyped-call]
        kind = self._channel.unary_stream if found.server_streaming else self._channel.unary_unary
        answer = GetMessageClass(found.output_type)
        return kind(f"/{_PACKAGE}.{service}/{method}", type(request).SerializeToString, answer.FromString)(
            request, timeout=60, **options
        )
