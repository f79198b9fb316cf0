"""Who is let in."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Iterable

VARIABLE = "HEROSERVE_API_KEYS"
# What who is not let in is told.
REFUSED = "authorization: send 'authorization: Bearer <API key>' with a valid key"

# What a header can carry, and nobody misreads: the values of gRPC's metadata are ASCII, and blanks at their ends go.
_KEY = re.compile(r"[!-~]+")


class ApiKeys:
    """Accepted keys; none lets everyone in."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in keys]

    @property
    def asked(self) -> bool:
        """Whether a caller needs one."""
        return bool(self._keys)

    def key(self, authorization: str) -> str | None:
        """The key in a header of that name, if it is an accepted one; "" where none is asked for."""
        if not self._keys:
            return ""
        scheme, _, key = authorization.partition(" ")
        sent = key.encode()
        valid = scheme.lower() == "bearer" and any(hmac.compare_digest(sent, accepted) for accepted in self._keys)
        return key if valid else None


def parse_key(value: str) -> str:
    """One key, as a setting has it.

    Raises:
        ValueError: no caller could send it; repeats nothing of it.
    """
    key = value.strip()
    if not _KEY.fullmatch(key) or "," in key:
        raise ValueError(f"expected one key, {_problem(key)}")
    return key


def parse_keys(value: str) -> tuple[str, ...]:
    """Keys with commas between them; blank has none.

    Raises:
        ValueError: one is empty, or no caller could send it; says which, and repeats nothing of it.
    """
    if not value.strip():
        return ()
    keys = tuple(key.strip() for key in value.split(","))
    for number, key in enumerate(keys, 1):
        if not _KEY.fullmatch(key):
            raise ValueError(f"key {number} of {len(keys)}, between commas, {_problem(key)}")
    return keys


def from_env() -> tuple[str, ...]:
    """Those that Ray's proxies go by, which know no settings.

    Raises:
        ValueError: they can't be used; names the variable.
    """
    try:
        return parse_keys(os.environ.get(VARIABLE, ""))
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from None


def _problem(key: str) -> str:
    allowed = "a key is printable ASCII without blanks and commas"
    if not key:
        return f"is empty; {allowed}, and without any key, and without commas, everyone is let in"
    at, odd = next((at, char) for at, char in enumerate(key, 1) if not _KEY.fullmatch(char) or char == ",")
    if odd in " ,":
        kind = {" ": "a blank", ",": "a comma"}[odd]
    else:
        kind = "a character that is not ASCII" if ord(odd) > 127 else "a control character"
    return f"has {kind} in place {at}; {allowed}"
