"""What one API key may have of a proxy, however much of it is free."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.common.errors import ResourceExhausted

RATE = "HEROSERVE_KEY_RATE"
CONCURRENCY = "HEROSERVE_KEY_CONCURRENCY"


@dataclass
class _Bucket:
    tokens: float
    filled: float


class Quotas:
    """Of each key alike; callers without one have none.

    Args:
        rate: requests a second, as many at once; 0 is no limit. Below one a second, one at once.
        concurrency: requests under way; 0 is no limit.
        clock: in seconds.
    """

    def __init__(self, rate: float = 0.0, concurrency: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._concurrency = concurrency
        self._clock = clock
        # By accepted keys: there are no others.
        self._buckets: dict[str, _Bucket] = {}
        self._under_way: Counter[str] = Counter()

    @classmethod
    def from_env(cls) -> Quotas:
        """A proxy's: it knows no settings, and ``Settings`` has refused what can't be read."""
        return cls(float(os.environ.get(RATE, "").strip() or 0), int(os.environ.get(CONCURRENCY, "").strip() or 0))

    def take(self, key: str) -> None:
        """One request more.

        Raises:
            ResourceExhausted: too many a second; says when there is room for one.
        """
        if not self._rate or not key:
            return
        now, most = self._clock(), max(1.0, self._rate)
        bucket = self._buckets.setdefault(key, _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + (now - bucket.filled) * self._rate)
        bucket.filled = now
        if bucket.tokens < 1:
            wait_s = (1 - bucket.tokens) / self._rate
            raise ResourceExhausted(
                f"this API key's quota is {self._rate:g} requests a second; try again in {_shown(wait_s)} s",
                # Rounded up: who comes at that time finds room.
                retry_after_s=math.ceil(wait_s * 1000) / 1000,
                reason="rate",
            )
        bucket.tokens -= 1

    @contextmanager
    def under_way(self, key: str) -> Iterator[None]:
        """One request more is, within.

        Raises:
            ResourceExhausted: as many are as may be.
        """
        if self._concurrency and key and self._under_way[key] >= self._concurrency:
            raise ResourceExhausted(
                f"this API key's quota is {self._concurrency} requests at once, and so many are under way; try again "
                "when one has ended",
                reason="concurrency",
            )
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1


def _shown(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"
