"""Which replica an image's requests go to: Ray Serve's consistent hashing, with a bound on what one replica gets."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

T = TypeVar("T")

# What ``deployment.deploy`` names it by.
PATH = "services.common.image_router.ImageRouter"
# No replica gets more than so many times its share, however many ask about one image; and so many are never too many.
_UNEVEN, _FEW = 1.25, 4
# A replica says at once that it takes a request up, however long it works on it. One that has not hangs, or is about to
# be replaced: for a while others come first, and then it is tried again.
_SILENT_S, _AVOIDED_S = 1.0, 6.0


def in_turn(ranked: Sequence[T], loads: Mapping[T, int], silent: frozenset[T] = frozenset()) -> list[T]:
    """In which order replicas are asked to take a request of an image.

    Consistent hashing with bounded loads: the first of the ring that has not more than its share already, so that an
    image that everybody asks about spreads over as many as it takes.

    Args:
        ranked: all of them, as the image's ring has them.
        loads: requests that each has.
        silent: those that took none up of late.
    """
    share = _UNEVEN * (1 + sum(loads[each] for each in ranked)) / max(1, len(ranked))
    most = max(_FEW, math.ceil(share))
    return sorted(ranked, key=lambda each: (each in silent, loads[each] >= most))


class ImageRouter(ConsistentHashRouter):
    """By the session that our part of the proxy makes of a request's image (``ingress/session.py``): an image's
    requests meet in one replica, which encodes it once and has its rows at hand. Those without one are spread evenly.

    Every proxy and handle finds the same replica for an image; where one joins or leaves, only its own images move.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        # By replica: since when requests were sent to it of which it has taken up none.
        self._sent: dict[Any, float] = {}

    async def choose_replicas(self, candidate_replicas: list[Any], pending_request: Any = None) -> list[list[Any]]:
        """All replicas, one a rank: Serve asks the next where one is full or gone."""
        self._num_fallback_replicas = len(self._replicas)
        ranks = await super().choose_replicas(candidate_replicas, pending_request)
        ranked = {replica.replica_id: replica for rank in ranks for replica in rank}
        loads = {name: self._replica_queue_len_cache.get(name) or 0 for name in ranked}
        return [[ranked[name]] for name in in_turn(list(ranked), loads, self._silent(time.monotonic()))]

    def on_send_request(self, replica_id: Any) -> None:
        super().on_send_request(replica_id)
        self._sent.setdefault(replica_id, time.monotonic())

    def on_new_queue_len_info(self, replica_id: Any, num_ongoing_requests: int) -> None:
        super().on_new_queue_len_info(replica_id, num_ongoing_requests)
        self._sent.pop(replica_id, None)

    def _silent(self, now: float) -> frozenset[Any]:
        self._sent = {
            name: since for name, since in self._sent.items() if now - since < _AVOIDED_S and name in self._replicas
        }
        return frozenset(name for name, since in self._sent.items() if now - since >= _SILENT_S)
