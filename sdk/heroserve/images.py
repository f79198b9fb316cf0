"""Images on their way to the service: loaded as they are, never decoded here."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from heroserve.errors import ImageError
from heroserve.limits import MAX_MESSAGE_BYTES
from heroserve.v1.tokens_pb2 import Image

# A path, the encoded file itself, or a message ready to send (perhaps holding only a digest).
ImageSource = str | os.PathLike[str] | bytes | Image


def load_image(source: ImageSource) -> Image:
    """The message for `source`.

    Raises ImageError when a file can't be read, or when there is nothing in it, or more than a message holds.
    """
    if isinstance(source, Image):
        if source.WhichOneof("source") != "digest":
            _check_size(len(source.data), "the image")
        return source
    if isinstance(source, bytes):
        _check_size(len(source), "the image")
        return Image(data=source)
    path = Path(source)
    try:
        # Asked first: a film named by mistake should not have to fit into memory.
        _check_size(path.stat().st_size, str(path))
        return Image(data=path.read_bytes())
    except OSError as error:
        raise ImageError(f"image: cannot read {path}: {error.strerror or error}") from error


def image_digest(data: bytes) -> str:
    """What the services call the image: SHA-256 of the encoded file, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def _check_size(size: int, name: str) -> None:
    if size == 0:
        raise ImageError(f"image.data: {name} is empty")
    if size > MAX_MESSAGE_BYTES:
        raise ImageError(f"image.data: {name} has {size} bytes; a whole request holds at most {MAX_MESSAGE_BYTES}")
