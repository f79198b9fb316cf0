"""Whose images are whose: a name for those who share what is kept of theirs, and for nobody else.

It is made of the key that a caller came with and, within that, of what the caller says: a service that calls another
for callers of its own says their scope, and can say none that another key's callers have.
"""

from __future__ import annotations

import hashlib

# Metadata in which a caller tells the scope within its own.
from heroserve.terms import SCOPE as HEADER

__all__ = ["HEADER", "scope_of"]


def scope_of(key: str, within: str) -> str:
    """32 hex digits, from which the key can't be told; empty where everybody is let in, and none says more.

    Args:
        key: the API key that was found valid; empty where none is asked for.
        within: what the caller said under ``HEADER``.
    """
    if not key and not within:
        return ""
    secret = hashlib.sha256(key.encode()).digest()
    return hashlib.blake2b(within.encode(), key=secret, person=b"heroserve-scope", digest_size=16).hexdigest()
