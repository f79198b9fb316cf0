"""JPEG's segments: those that make pixels are kept, the rest is read here or left out."""

from __future__ import annotations

import re
import struct

from services.encoder.images.bare import MAX_PROFILE_BYTES, Bare
from services.encoder.images.refusal import refused

# In front of a scan and between scans: a marker is 0xFF and a byte that is neither stuffing nor a restart. Fill bytes
# and what stands before one are skipped, as libjpeg does.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_SOI, _EOI, _SOS, _TEM, _COMMENT = 0xD8, 0xD9, 0xDA, 0x01, 0xFE
_JFIF, _APP1, _APP2, _ADOBE = 0xE0, 0xE1, 0xE2, 0xEE
_APPS = range(0xE0, 0xF0)
_PROFILE = b"ICC_PROFILE\0"
# A picture has a dozen or two; what follows of a file of more need not be looked at.
_MAX_SEGMENTS = 10_000


def bare(data: bytes) -> Bare:
    """Without comments, foreign segments, and those too short for what they say they are.

    Raises:
        InvalidArgument: far more segments than any picture has.
    """
    kept, apps = [data[:2]], []
    scans, count, at, first = 0, 0, 2, len(data)
    while (found := _MARKER.search(data, at)) is not None:
        count += 1
        if count > _MAX_SEGMENTS:
            raise refused(f"is a JPEG of more than {_MAX_SEGMENTS} segments")
        marker, start = found[1][0], found.start()
        if marker == _EOI:
            break
        if marker in (_SOI, _TEM):
            at = found.end()
            continue
        if found.end() + 2 > len(data):
            break
        (size,) = struct.unpack_from(">H", data, found.end())
        at = found.end() + max(size, 2)
        body = data[found.end() + 2 : at]
        if marker == _SOS:
            scans += 1
            first = min(first, start)
        elif not scans and marker in _APPS:
            apps.append((marker, body))
            if _makes_pixels(marker, body):
                kept.append(data[start:at])
        elif not scans and marker != _COMMENT:
            kept.append(data[start:at])
    return Bare(b"".join([*kept, data[first:]]), _info(apps), scans)


def _makes_pixels(marker: int, body: bytes) -> bool:
    """Whether libjpeg reads it, and tells the colour space by it."""
    return (marker == _JFIF and body.startswith(b"JFIF\0") and len(body) >= 14) or (
        marker == _ADOBE and body.startswith(b"Adobe") and len(body) >= 12
    )


def _info(apps: list[tuple[int, bytes]]) -> dict[str, bytes]:
    info = {}
    exif = [body for marker, body in apps if marker == _APP1 and body.startswith(b"Exif\0\0")]
    if exif:
        info["exif"] = exif[0] + b"".join(body[6:] for body in exif[1:])
    for marker, body in apps:
        if marker == _APP1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            info["xmp"] = body.split(b"\0", 1)[1]
    parts = sorted(
        body[12:] for marker, body in apps if marker == _APP2 and body.startswith(_PROFILE) and len(body) > 14
    )
    # Each with its number and how many there are; a profile that is not whole is none.
    if parts and [(part[0], part[1]) for part in parts] == [(i + 1, len(parts)) for i in range(len(parts))]:
        profile = b"".join(part[2:] for part in parts)
        if len(profile) <= MAX_PROFILE_BYTES:
            info["icc_profile"] = profile
    return info
