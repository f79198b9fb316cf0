"""What was measured at one place of a sweep."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """Args:
    x: where in the sweep.
    kind: of request.
    requests: that were made.
    seconds: that they took together.
    ms: of the fastest one, the median, and what 95% were not slower than.
    cores: core-milliseconds a request, by part.
    reply_bytes: of a reply, in the mean.
    redis: ``in`` and ``out`` (bytes, as it sees them) and ``commands``, a request.
    pass_tiles: in a pass of the tower, in the mean; 0 where there was none.
    """

    x: int
    kind: str
    requests: int
    seconds: float
    ms: tuple[float, float, float]
    cores: dict[str, float]
    reply_bytes: float
    redis: dict[str, float]
    pass_tiles: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def busy(self) -> float:
        """Cores that worked, in the mean."""
        return sum(self.cores.values()) * self.rate / 1e3

    def values(self) -> dict[str, Any]:
        """As JSON has it, four digits of each number."""
        return {name: _short(value) for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Point:
        """What ``values`` gave."""
        fastest, median, slow = values["ms"]
        return cls(**{**values, "ms": (fastest, median, slow)})


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    return [_short(each) for each in value] if isinstance(value, tuple) else value
