"""Protobuf messages and results, as text."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from heroserve.savings import Savings


def as_dict(message: Message) -> dict[str, object]:
    """By the proto's own names, zeros included."""
    fields: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def flat(fields: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Fields within fields, by their path."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def saved(savings: Savings) -> str:
    """What of an image's tokens was kept."""
    return f"visual tokens {savings.kept} of {savings.total} kept ({savings.ratio:.1%} dropped)"
