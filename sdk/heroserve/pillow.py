"""Pictures of Pillow's, as the file that is sent. Pillow is not imported: whoever has such a picture has done so."""

from __future__ import annotations

import io
import sys
from typing import IO, Any, Protocol

from typing_extensions import TypeIs

from heroserve.errors import ImageError

# Modes that PNG holds as they are.
_OF_PNG = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")
# Formats that services read; of another the pixels are sent.
_READ = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


class Picture(Protocol):
    """What of `PIL.Image.Image` is needed here."""

    mode: str

    def getbands(self) -> tuple[str, ...]: ...
    def save(self, fp: Any, format: str | None = None, **params: Any) -> None: ...  # noqa: A002 - Pillow's name
    def getexif(self) -> Any: ...
    def tell(self) -> int: ...


def is_picture(source: object) -> TypeIs[Picture]:
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def encoded(picture: Picture) -> bytes:
    """The file it was opened from, where nothing has been read or changed of it: what names that file sends the same,
    and finds it in the same cache. Else PNG, with its colour profile and orientation.

    Raises ImageError for what has no PNG, or can't be read.
    """
    try:
        return _untouched(picture) or _png(picture)
    except ImageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ImageError(f"image: cannot encode the picture: {reason}") from error


def _untouched(picture: Picture) -> bytes | None:
    """Pillow reads pixels when they are first wanted; until then it has tiles that tell where they are."""
    file: IO[bytes] | None = getattr(picture, "fp", None)
    scaled = getattr(picture, "decoderconfig", ())  # draft() has made it another
    if file is None or not getattr(picture, "tile", None) or picture.tell() or scaled:
        return None
    if getattr(picture, "format", None) not in _READ or not file.seekable():
        return None
    place = file.tell()
    file.seek(0)
    try:
        return file.read()
    finally:
        file.seek(place)


def _png(picture: Picture) -> bytes:
    if picture.mode not in _OF_PNG:
        raise ImageError(
            f"image: a picture of mode {picture.mode!r} has no PNG; give picture.convert('RGB'), or a file's bytes"
        )
    buffer = io.BytesIO()
    # Pillow writes the profile by itself, and turns nothing.
    picture.save(buffer, "PNG", exif=picture.getexif(), compress_level=1)
    return buffer.getvalue()
