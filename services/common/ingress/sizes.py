"""How much a request is made of, told from its bytes: what is parsed first may be gigabytes of objects."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from google.protobuf.message import Message

from heroserve.v1.chat_pb2 import GenerateRequest, Part
from heroserve.v1.chat_pb2 import Message as Turn
from services.common.errors import InvalidArgument

# Messages, parts and options of a conversation.
MAX_FIELDS = 8192
# Of everything but images; the LLM service takes a quarter of a million characters, of at most four bytes each.
MAX_TEXT_BYTES = 2 << 20

_MESSAGES = GenerateRequest.DESCRIPTOR.fields_by_name["messages"].number
_PARTS = Turn.DESCRIPTOR.fields_by_name["parts"].number
_IMAGE = Part.DESCRIPTOR.fields_by_name["image"].number


class _Malformed(Exception):
    """No protobuf; the parser says so better."""


def check_size(request: type[Message], data: bytes) -> None:
    """Takes time by the number of fields, and stops at the limit.

    Raises:
        InvalidArgument: a ``GenerateRequest`` has too many fields, or too many bytes outside of its images. Others
            can't: nothing in them comes more than once.
    """
    if request is not GenerateRequest:
        return
    try:
        _check_conversation(memoryview(data))
    except _Malformed:
        return


def _check_conversation(data: memoryview) -> None:
    count = images = 0
    for number, turn in _fields(data):
        count = _counted(count)
        if number != _MESSAGES or turn is None:
            continue
        for inner, part in _fields(turn):
            count = _counted(count)
            if inner == _PARTS and part is not None:
                images += sum(len(image) for kind, image in islice(_fields(part), 2) if kind == _IMAGE and image)
    size = len(data) - images
    if size > MAX_TEXT_BYTES:
        raise InvalidArgument("messages", f"have {size} bytes besides images; the limit is {MAX_TEXT_BYTES}")


def _counted(count: int) -> int:
    """One more."""
    if count == MAX_FIELDS:
        raise InvalidArgument("messages", f"have more than {MAX_FIELDS} messages, parts and other fields")
    return count + 1


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Number and bytes of each field; None for what is no bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        value: memoryview | None = None
        match tag & 7:
            case 0:
                _, position = _varint(data, position)
            case 1:
                position += 8
            case 2:
                length, position = _varint(data, position)
                value = data[position : position + length]
                position += length
            case 5:
                position += 4
            case _:
                raise _Malformed
        if position > len(data):
            raise _Malformed
        yield tag >> 3, value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of up to ten bytes, and where it ends."""
    number = 0
    for index, byte in enumerate(data[position : position + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise _Malformed
