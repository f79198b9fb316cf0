"""Requests that a replica has taken up and does not work on yet, by where they wait."""

from __future__ import annotations

from services.common.metrics import Gauge

# ``line``: for their turn (admission.py). ``engine``: for a thread of a language model's. Of processes that live.
WAITING = Gauge(
    "heroserve_requests_waiting",
    "Requests in replicas that wait: for their turn (line), or for the engine to begin (engine).",
    ["where"],
    multiprocess_mode="livesum",
)
