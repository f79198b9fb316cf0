"""API keys for services that a benchmark starts."""

from __future__ import annotations

import os


def ask_for_keys(first: str, *others: str) -> None:
    """Have them ask for one of these; with the first one the LLM service and the client ask."""
    os.environ["HEROSERVE_API_KEYS"] = ",".join((first, *others))
    os.environ |= dict.fromkeys(("HEROSERVE_ENCODER_API_KEY", "HEROSERVE_API_KEY"), first)
