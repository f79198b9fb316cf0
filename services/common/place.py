"""A setting that says where a gRPC service is."""

from __future__ import annotations

from heroserve.target import flaw


def place(value: str) -> str:
    """HOST:PORT, or one of gRPC's own names, out of a variable's text. Raises ValueError for neither."""
    found = value.strip()
    if problem := flaw(found):
        raise ValueError(f"expected HOST:PORT, such as localhost:9000; {problem}")
    return found
