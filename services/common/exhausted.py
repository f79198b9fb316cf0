"""Requests for which there was no room, counted by why."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from services.common.errors import DoorName, Reason
from services.common.metrics import Counter

# Of every service; each has more of its own.
_REASONS: tuple[Reason, ...] = ("wait", "line", "share", "proxy", "serve", "rate", "concurrency")


def exhausted(name: str, own: Sequence[Reason], *doors: DoorName) -> Counter:
    """A service's counter of that name, for its doors, with reasons of its own beside those of every service."""
    reasons = (*_REASONS, *own)
    counter = Counter(
        name,
        "Requests that ended with RESOURCE_EXHAUSTED, those that our part of the proxy refused among them, by door and "
        f"reason: {', '.join(reasons)}.",
        ["door", "reason"],
    )
    # From the start, at 0: else what happens first is no increase.
    for door, reason in itertools.product(doors, reasons):
        counter.labels(door=door, reason=reason)
    return counter
