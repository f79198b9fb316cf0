"""What is asked of both services, a second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """Args:
    images: new ones a second.
    questions: about each of them, the first included.
    found: share of the later questions that find their image in the cache, in [0, 1].
    kept_s: seconds that an entry stays (HEROSERVE_CACHE_TTL_S, or less where Redis evicts).
    """

    images: float
    questions: float
    found: float
    kept_s: float

    @property
    def requests(self) -> float:
        """A second: images x questions."""
        return self.images * self.questions

    @property
    def encodes(self) -> float:
        """Images a second that the tower reads: each once, and again for each later question that does not find it."""
        return self.images * (1 + (self.questions - 1) * (1 - self.found))

    @property
    def kept(self) -> float:
        """Entries in the cache in the long run: what comes in a second times how long it stays (Little's law)."""
        return self.images * self.kept_s
