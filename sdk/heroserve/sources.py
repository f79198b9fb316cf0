"""Files that somebody names or hands over, read to their end; nothing is sent that a message can't hold."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
import urllib.parse
from typing import Protocol

from heroserve.errors import ImageError
from heroserve.limits import MAX_MESSAGE_BYTES

# Two letters at least: a drive's name is one.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DATA_URL = re.compile(r"data:([^,]*),", re.IGNORECASE)
# What is longer is no name for an error to repeat; it may be a whole picture.
_NAME = 200
# Of the formats that services read: how files of them are called, and how they begin; AVIF's begin so behind a length.
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
_BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II", b"MM")


class BinaryFile(Protocol):
    """A file that was opened to read bytes; it is read from where it stands to its end."""

    def read(self, size: int, /) -> bytes: ...


def read_path(source: str | os.PathLike[str]) -> bytes:
    """The file of that name, or what a data: URL holds.

    Raises ImageError for what can't be read, is empty or too large; so do the others.
    """
    try:
        path = os.fsdecode(source)
    except (TypeError, ValueError) as error:
        raise ImageError(f"image: {type(source).__qualname__} is no path: {error}") from error
    if isinstance(source, str):
        if comma := _DATA_URL.match(source):
            return _of_data_url(source[comma.end() :], comma[1])
        if _URL.match(source):
            scheme = source.partition(":")[0]
            raise ImageError(f"image: {scheme}: URLs are not fetched; give a path, or the file's bytes")
    if not path:
        raise ImageError("image: the path is empty")
    shown = path if path.isprintable() else ascii(path)
    name = shown if len(shown) <= _NAME else f"the path of {len(path)} characters"
    try:
        # Asked first: a film named by mistake should not have to fit into memory.
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            kind = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file; open it, and give what is open"
            raise ImageError(f"image: cannot read {name}: it is {kind}")
        check_size(found.st_size, name)
        with open(path, "rb") as file:
            return read_file(file, name)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        problem = getattr(error, "strerror", None) or _why_no_path(path, error)
        if isinstance(source, str) and _is_base64(source):
            raise ImageError(
                f"image: {len(source)} characters of base64 are no path; give base64.b64decode(...), or a data: URL"
            ) from None
        raise ImageError(f"image: cannot read {name}: {problem}") from error


def why_no_text(error: Exception) -> str:
    """Of a text that was to be sent: what is wrong with it, where Python would tell of its codec."""
    if isinstance(error, UnicodeEncodeError):
        return f"has half a character (a lone surrogate) in place {error.start + 1}"
    return str(error)


def _why_no_path(path: str, error: Exception) -> str:
    """Python's own words are of C's strings."""
    if "\0" in path:
        return "the path has a NUL in it"
    if isinstance(error, UnicodeEncodeError):
        return "the path has half a character (a lone surrogate) in it"
    return str(error)


def _of_data_url(content: str, kind: str) -> bytes:
    """RFC 2397; ``kind`` is what stands before the comma."""
    # Three characters a byte at most, with percent signs.
    check_size(len(content), "the data: URL", longer=3)
    data = urllib.parse.unquote_to_bytes(content)
    if kind.lower().endswith(";base64"):
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error as error:
            raise ImageError(f"image: the data: URL is not base64: {error}") from error
    check_size(len(data), "the data: URL")
    return data


def read_file(file: BinaryFile, name: str = "the file") -> bytes:
    """What is left of an open file."""
    if isinstance(file, io.TextIOBase):
        raise ImageError(f"image: cannot read {name}: it was opened as text; open it with 'rb'")
    data = bytearray()
    place = _place(file)
    try:
        # Some give less than they are asked for; one byte more than fits tells what is too large.
        while len(data) <= MAX_MESSAGE_BYTES:
            piece = file.read(MAX_MESSAGE_BYTES + 1 - len(data))
            if not isinstance(piece, bytes | bytearray | memoryview):
                _discard(piece)
                raise ImageError(f"image: cannot read {name}: it gives {type(piece).__qualname__}, not bytes")
            if not piece:
                break
            data += piece
    except (OSError, TypeError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"image: cannot read {name}: {_why(file, error)}") from error
    if not data and name == "the file":
        raise ImageError("image.data: the file is empty from where it stands; seek(0) if it has been read or written")
    if len(data) > MAX_MESSAGE_BYTES:  # how many there are nobody has counted
        limit = f"a whole request holds at most {MAX_MESSAGE_BYTES}"
        raise ImageError(f"image.data: {name} has more than {MAX_MESSAGE_BYTES} bytes; {limit}")
    check_size(len(data), name)
    # A picture within another file may be meant; what is no picture's beginning is not.
    if place and name == "the file" and not (data.startswith(_BEGINNINGS) or data[4:8] == b"ftyp"):
        raise ImageError(
            f"image.data: the file stood at byte {place}, and no picture begins there; seek(0) reads it from its start"
        )
    return bytes(data)


def _place(file: BinaryFile) -> int:
    """Where it stands; 0 for what can't tell."""
    try:
        place = file.tell()  # type: ignore[attr-defined]
    except (AttributeError, OSError, TypeError, ValueError):
        return 0
    if isinstance(place, int):
        return place
    _discard(place)
    return 0


def _why(file: BinaryFile, error: Exception) -> str:
    """Of one that was opened for writing Python tells no more than the method's name."""
    try:
        only_written = isinstance(error, io.UnsupportedOperation) and not file.readable()  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        only_written = False
    return "it was opened for writing; open it with 'rb'" if only_written else str(error) or type(error).__name__


def _discard(piece: object) -> None:
    """A coroutine (of a file that is read asynchronously) that nobody will await."""
    if callable(close := getattr(piece, "close", None)):
        close()


def _is_base64(text: str) -> bool:
    try:
        return len(base64.b64decode("".join(text.split()), validate=True)) >= 48
    except (binascii.Error, ValueError):
        return False


def check_size(size: int, name: str, longer: int = 1) -> None:
    """That of `size` bytes, written in `longer` characters each at most, there are some and not too many."""
    if size == 0:
        raise ImageError(f"image.data: {name} is empty")
    if size > MAX_MESSAGE_BYTES * longer:
        raise ImageError(f"image.data: {name} has {size} bytes; a whole request holds at most {MAX_MESSAGE_BYTES}")
