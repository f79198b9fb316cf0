"""Images on their way to the service: loaded as they are, never decoded here."""

from __future__ import annotations

import hashlib
import os

from heroserve import pillow
from heroserve.errors import ImageError
from heroserve.sources import BinaryFile, check_size, read_file, read_path
from heroserve.v1.tokens_pb2 import Image

_ENCODE = "encode it first, e.g. as PNG (Pillow: picture.save(file, 'PNG')), and give the file's bytes"


# A path, a data: URL, the encoded file itself, an open one, a picture of Pillow's, or a message ready to send (perhaps
# holding only a digest).
ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | pillow.Picture | Image


def load_image(source: ImageSource) -> Image:
    """The message for `source`.

    Raises ImageError for what is none of an `ImageSource`, can't be read, is empty, or is more than a message holds.
    """
    if isinstance(source, Image):
        if source.WhichOneof("source") != "digest":
            check_size(len(source.data), "the image")
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return Image(data=_of_bytes(source))
    if isinstance(source, str | os.PathLike):
        return Image(data=read_path(source))
    if pillow.is_picture(source):
        return Image(data=_of_bytes(pillow.encoded(source)))
    if callable(getattr(source, "read", None)):
        return Image(data=read_file(source))
    kind = f"{type(source).__module__}.{type(source).__qualname__}".removeprefix("builtins.")
    # NumPy's, PyTorch's: what their numbers mean is not told by them.
    pixels = any(hasattr(source, name) for name in ("__array__", "__array_interface__", "__dlpack__"))
    hint = f"it has pixels, but is no file: {_ENCODE}" if pixels else "expected a path, bytes or an open file"
    raise ImageError(f"image: {kind} can't be sent; {hint}")


def image_digest(data: bytes) -> str:
    """What the services call the image: SHA-256 of the encoded file, 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def _of_bytes(source: bytes | bytearray | memoryview) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            view = memoryview(source)
        except ValueError as error:  # it was released
            raise ImageError(f"image: cannot read the memoryview: {error}") from error
        if view.ndim != 1 or view.itemsize != 1:
            raise ImageError(f"image: a memoryview of {view.format!r}, {view.ndim} dimensions, is no file: {_ENCODE}")
        check_size(view.nbytes, "the image")
        data = bytes(view)
    check_size(len(data), "the image")
    return data
