"""Who is let in."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from services.common.errors import Unauthenticated


class ApiKeys:
    """Accepted keys; none lets everyone in."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def key(self, authorization: str) -> str | None:
        """The key in a header of that name, if it is an accepted one; "" where none is asked for."""
        if not self._keys:
            return ""
        scheme, _, key = authorization.partition(" ")
        sent = key.encode()
        valid = scheme.lower() == "bearer" and any(hmac.compare_digest(sent, accepted) for accepted in self._keys)
        return key if valid else None

    def check(self, authorization: str) -> None:
        """Raises:
        Unauthenticated: it holds none of the keys.
        """
        if self.key(authorization) is None:
            raise Unauthenticated("authorization: send metadata 'authorization: Bearer <API key>' with a valid key")
