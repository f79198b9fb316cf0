"""A picture's file without what it need not have, so that odd metadata can't spoil good pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Of a colour profile, inflated: libpng's limit. Larger ones are passed over, as viewers do.
MAX_PROFILE_BYTES = 8_000_000


@dataclass(frozen=True)
class Bare:
    """What a decoder is given, and beside it what else decides how a picture is shown.

    Args:
        data: the file.
        info: by Pillow's names: "exif", "xmp", "icc_profile" and the like.
        scans: passes over all pixels that decoding takes.
        key: the samples that stand for transparency, one a channel, of ``depth`` bits; None without.
        depth: bits a sample, where ``key`` is.
        canvas: width and height that the file claims, of formats whose decoder makes room for it at once.
    """

    data: bytes
    info: dict[str, Any] = field(default_factory=dict)
    scans: int = 1
    key: tuple[int, ...] | None = None
    depth: int = 8
    canvas: tuple[int, int] | None = None
