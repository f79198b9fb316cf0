"""Which server a conversation goes to: the same as long as it is there, so that its prefix cache knows it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from services.llm.job import ImagePart, Turn


def preferred(key: bytes, urls: Iterable[str]) -> list[str]:
    """All of them, the best first, by rendezvous hashing: one that leaves moves none but its own keys."""
    return sorted(urls, key=lambda url: hashlib.sha256(url.encode() + b"\0" + key).digest(), reverse=True)


def key_of(turns: Sequence[Turn]) -> bytes:
    """What a conversation has in common with its next turn, and with others whose prompt begins alike: its first
    image, else the text that it begins with."""
    for turn in turns:
        for part in turn.parts:
            if isinstance(part, ImagePart):
                return _digest(part)
    return hashlib.sha256("\0".join(turns[0].texts if turns else ()).encode(errors="replace")).digest()


def _digest(image: ImagePart) -> bytes:
    """The same whether its bytes were sent or its digest."""
    return (hashlib.sha256(image.data).hexdigest() if image.data is not None else image.digest or "").lower().encode()
