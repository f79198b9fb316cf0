"""What goes between a replica and its decoders: JSON, and bytes behind it; nothing that runs when it is read."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

HEAD = struct.Struct(">IQ")


@dataclass(frozen=True)
class Frame:
    """One message.

    Args:
        says: what JSON has.
        body: bytes that go along.
    """

    says: dict[str, Any]
    body: bytes | bytearray | memoryview = field(default=b"", repr=False)

    def start(self) -> bytes:
        """All but the body, which follows."""
        text = json.dumps(self.says).encode()
        return HEAD.pack(len(text), len(self.body)) + text
