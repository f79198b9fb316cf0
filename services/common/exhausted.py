"""Requests for which there was no room, counted by why."""

from __future__ import annotations

from services.common.errors import Reason
from services.common.metrics import Counter

# Of every service; each has one more of its own.
_REASONS: tuple[Reason, ...] = ("wait", "line", "share", "proxy", "serve", "rate", "concurrency")


def exhausted(name: str, own: Reason) -> Counter:
    """A service's counter of that name, with a reason of its own beside those of every service."""
    reasons = (*_REASONS, own)
    counter = Counter(
        name,
        "RPCs that ended with RESOURCE_EXHAUSTED, those that our part of the proxy refused among them, by reason: "
        f"{', '.join(reasons)}.",
        ["reason"],
    )
    # From the start, at 0: else what happens first is no increase.
    for reason in reasons:
        counter.labels(reason=reason)
    return counter
