"""PNG's chunks: those that make pixels are kept, the rest is read here or left out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from services.encoder.images import stated_colour
from services.encoder.images.bare import MAX_PROFILE_BYTES, Bare

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
_GREYS = (_GREY, 4)
# Texts that may say which way up a picture is, as Pillow reads them; of a photograph's size at most.
_TELLING = (b"XML:com.adobe.xmp", b"Raw profile type exif")
_MAX_TEXT_BYTES = 1 << 20


def bare(data: bytes) -> Bare:
    """Without texts, times, sizes and animation; and without any ancillary chunk whose checksum is wrong, as libpng.

    What is wrong with the others is left for the decoder to tell.
    """
    kept, pixels, info = [_SIGNATURE], [], {}
    key, depth, colour = None, 8, -1
    stated: dict[bytes, bytes] = {}
    for name, body, raw, sound in _chunks(data):
        if name == b"IDAT":
            pixels.append(body)
        elif name == b"IEND":
            break
        elif not name[0] & 0x20:
            if name == b"IHDR" and len(body) >= 13:
                depth, colour = body[8], body[9]
            # Behind the first pixels nothing that is critical may come; it is not looked at there.
            kept += [] if pixels else [raw]
        elif not sound:
            continue
        elif name == b"tRNS" and not pixels:
            if colour == _PALETTE:
                kept.append(_chunk(name, body[:256]))
            else:
                key = _key(body, depth, colour)
        elif name == b"iCCP" and not pixels:
            # Another space than the pixels' is none, as for libpng.
            profile = _profile(body)
            if profile is not None and (profile[16:20] == b"GRAY") == (colour in _GREYS):
                info["icc_profile"] = profile
        elif name in (b"gAMA", b"cHRM", b"sRGB") and not pixels:
            stated[name] = body
        elif name == b"eXIf":
            info["exif"] = b"Exif\0\0" + body
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            info.update(_text(name, body))
    if "icc_profile" not in info and (profile := _stated(stated, grey=colour in _GREYS)) is not None:
        info["icc_profile"] = profile
    # Pieces of a few bytes each would cost more to put together than to decode.
    whole = b"".join([*kept, *([_chunk(b"IDAT", b"".join(pixels))] if pixels else []), _chunk(b"IEND", b"")])
    return Bare(whole, info, key=key, depth=depth)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Name, body, the whole chunk, and whether its checksum is right; the last one may be cut off."""
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        body = data[at + 8 : at + 8 + size]
        # Those of pixels have a checksum of their own, within.
        sound = name == b"IDAT" or (end <= len(data) and data[end - 4 : end] == _crc(name, body))
        yield name, body, data[at:end], sound
        at = end


def _crc(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + _crc(name, body)


def _key(body: bytes, depth: int, colour: int) -> tuple[int, ...] | None:
    channels = {_GREY: 1, _RGB: 3}.get(colour, 0)
    if not channels or len(body) < 2 * channels:
        return None
    return tuple(value & ((1 << depth) - 1) for value in struct.unpack_from(f">{channels}H", body))


def _inflate(body: bytes, limit: int) -> bytes | None:
    """None if it is broken, or more than ``limit`` bytes."""
    stream = zlib.decompressobj()
    try:
        whole = stream.decompress(body, limit)
    except zlib.error:
        return None
    return whole if stream.eof else None


def _profile(body: bytes) -> bytes | None:
    _, _, rest = body.partition(b"\0")
    return _inflate(rest[1:], MAX_PROFILE_BYTES) if rest[:1] == b"\0" else None


def _stated(chunks: dict[bytes, bytes], *, grey: bool) -> bytes | None:
    """A profile of what gAMA says, and cHRM; one of sRGB's own chunk goes before them."""
    gamma, primaries = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    if len(gamma) != 4 or chunks.get(b"sRGB"):
        return None
    numbers = struct.unpack(">8I", primaries) if len(primaries) == 32 else None
    xy = None if numbers is None else tuple(number / 100_000 for number in numbers)
    return stated_colour.profile(struct.unpack(">I", gamma)[0] / 100_000, xy, grey=grey)


def _text(name: bytes, body: bytes) -> dict[str, Any]:
    key, _, text = body.partition(b"\0")
    if key not in _TELLING:
        return {}
    packed: bytes | None = text
    if name == b"zTXt":
        packed = _inflate(text[1:], _MAX_TEXT_BYTES)
    elif name == b"iTXt":
        flags, (_, _, text) = text[:2], text[2:].partition(b"\0")
        packed = text.partition(b"\0")[2]
        packed = _inflate(packed, _MAX_TEXT_BYTES) if flags[:1] == b"\1" else packed
    return {} if packed is None else {key.decode(): packed.decode("utf-8", "replace")}
