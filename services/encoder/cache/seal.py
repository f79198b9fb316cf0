"""Whose bytes an entry's are: a mark that only who has the key can make, over the entry's name and all of its meta."""

from __future__ import annotations

import hashlib


class Seal:
    """Marks entries of one encoder.

    Without a key of one's own it is derived from the encoder's identity, which ``Describe`` tells everybody: damage,
    mix-ups and entries of others are found, but whoever writes to the store on purpose, and knows how, can forge. With
    one nobody can who does not have it.

    Args:
        key: HEROSERVE_CACHE_KEY; empty for the derived one.
        encoder_id: digest of everything that changes the rows.
    """

    def __init__(self, key: str, encoder_id: str) -> None:
        self._key = hashlib.blake2b(f"{'own' if key else 'derived'}:{key or encoder_id}".encode()).digest()

    def mark(self, name: str, body: bytes) -> bytes:
        """16 bytes.

        Args:
            name: what the entry is called: encoder, whose it is, image.
            body: of its meta. It says how long the rows are, and has their checksums.
        """
        made = hashlib.blake2b(len(name).to_bytes(4, "little") + name.encode(), key=self._key, digest_size=16)
        made.update(body)
        return made.digest()
