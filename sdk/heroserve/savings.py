"""What dropping visual tokens saved."""

from __future__ import annotations

from dataclasses import dataclass

from heroserve.v1 import tokens_pb2


@dataclass(frozen=True)
class Savings:
    """Visual tokens of all images of a request; newline tokens are not counted.

    Attributes:
        total, kept, dropped: visual tokens.
        prefill_flops, kv_cache_bytes: what the language model was spared: floating-point operations, and memory. 0 of
            an encoder, which knows no language model, and of a service that is too old to tell.
    """

    total: int = 0
    kept: int = 0
    dropped: int = 0
    prefill_flops: float = 0.0
    kv_cache_bytes: int = 0

    @property
    def ratio(self) -> float:
        """Share that was dropped, 0 to 1; 0 when there was no image."""
        return self.dropped / self.total if self.total else 0.0

    def __add__(self, other: Savings) -> Savings:
        """Of both together."""
        return Savings(
            self.total + other.total,
            self.kept + other.kept,
            self.dropped + other.dropped,
            self.prefill_flops + other.prefill_flops,
            self.kv_cache_bytes + other.kv_cache_bytes,
        )

    @classmethod
    def from_message(cls, message: tokens_pb2.Savings) -> Savings:
        return cls(message.total, message.kept, message.dropped, message.prefill_flops, message.kv_cache_bytes)
