"""A form of several parts, as files are uploaded: read within bounds, and in memory that its body has taken already."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.common.errors import InvalidArgument
from services.common.shown import one_line

# What it does not take is told to who sent it, and in the request's own line.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

# What a client sends is a file, its purpose, and little else.
_MOST_PARTS = 16
# Of what is no file.
_MOST_TEXT = 1024
_NAME_CHARS = 255


@dataclass
class Part:
    """One of a form.

    Args:
        name: of the field.
        filename: empty for what is no file.
        data: what it holds.
    """

    name: str
    filename: str
    data: bytearray = field(default_factory=bytearray)


def parse(body: bytes, content_type: str) -> dict[str, Part]:
    """A form's parts by name.

    Args:
        body: of the request.
        content_type: its header.

    Raises:
        InvalidArgument: it is no form, has too many parts, or two of a name.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        told = one_line(content_type, 80) or "missing"
        raise InvalidArgument("content-type", f"is {told}; upload a file as multipart/form-data with a boundary")
    reader = _Reader()
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.name_header,
                "on_header_value": reader.fill_header,
                "on_header_end": reader.end_header,
                "on_headers_finished": reader.open,
                "on_part_data": reader.add,
                "on_end": reader.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidArgument("body", f"is no form as its content-type says: {one_line(str(error), 120)}") from error
    if not reader.ended:
        raise InvalidArgument("body", "is a form that breaks off before its last boundary")
    return reader.parts


class _Reader:
    """What the parser calls."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.ended = False
        self._begun = 0
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = b"", b""
        self._part = Part("", "")

    def begin(self) -> None:
        self._begun += 1
        if self._begun > _MOST_PARTS:
            raise InvalidArgument("body", f"is a form of more than {_MOST_PARTS} parts, which is the limit")
        self._headers = {}

    def name_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def fill_header(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def open(self) -> None:
        _, said = parse_options_header(self._headers.get(b"content-disposition", b""))
        name, filename = (_text(said.get(key, b"")) for key in (b"name", b"filename"))
        if not name or name in self.parts:
            raise InvalidArgument(
                "body", f"is a form with {'two parts of one name' if name else 'a part without a name'}"
            )
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in (b"binary", b"7bit", b"8bit"):
            raise InvalidArgument(
                one_line(name, 60), "has a content-transfer-encoding; send the file's bytes as they are"
            )
        self._part = self.parts[name] = Part(name, filename)

    def add(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        part.data += memoryview(data)[start:end]
        if part.name != "file" and len(part.data) > _MOST_TEXT:
            raise InvalidArgument(one_line(part.name, 60), f"is longer than {_MOST_TEXT} bytes, which is the limit")

    def end(self) -> None:
        self.ended = True


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")[:_NAME_CHARS]
