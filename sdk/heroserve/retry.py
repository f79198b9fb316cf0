"""When a failed call is tried again, and how long it waits first."""

from __future__ import annotations

import random
from dataclasses import dataclass

import grpc

# Away or busy for a moment: worth another try. No RPC changes anything, so sending one twice is safe; any
# other failure would only repeat itself.
RETRYABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter, within the call's deadline.

    Args:
        attempts: how often a call is sent at most, the first time included; 1 never retries.
        initial_backoff_s: longest wait before the second attempt, in seconds.
        multiplier: what the longest wait grows by with every attempt, at least 1.
        max_backoff_s: longest wait there is, in seconds.

    Raises ValueError for a policy that makes no sense.
    """

    attempts: int = 5
    initial_backoff_s: float = 0.2
    multiplier: float = 2.0
    max_backoff_s: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")
        if self.initial_backoff_s < 0 or self.max_backoff_s < 0:
            raise ValueError("initial_backoff_s and max_backoff_s must not be negative")
        if self.multiplier < 1:
            raise ValueError(f"multiplier must be at least 1, not {self.multiplier}")

    def backoff_s(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failed attempt (from 1).

        Uniform from 0 on (full jitter), so that clients which failed together do not come back together.
        """
        longest = min(self.max_backoff_s, self.initial_backoff_s * self.multiplier ** (failures - 1))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, guards nothing
