"""How many replicas the LLM service wants: Ray Serve's controller asks."""

from __future__ import annotations

from typing import Any

# What a replica reports under (``ChatDeployment.record_autoscaling_stats``).
WAITING = "engine_waiting"


def policy(context: Any) -> tuple[float, dict[str, Any]]:
    """By what is under way, as Serve has it of its own accord, and by what waits in engines that have no room for more.

    An engine may be full with far fewer requests than it has slots, for its memory is measured in tokens.

    Args:
        context: Serve's ``AutoscalingContext``.
    """
    waiting = sum((context.aggregated_metrics or {}).get(WAITING, {}).values())
    target = context.config.get_target_ongoing_requests()
    return wanted(context.current_num_replicas, context.total_num_requests, target, waiting), {}


def wanted(replicas: int, ongoing: float, target: float, waiting: float) -> float:
    """Of ``replicas`` with ``ongoing`` requests, ``waiting`` of them for room in engines, and a ``target`` of each."""
    by_load = ongoing / target
    if waiting <= 0:
        return by_load
    # As many more as would have all of them begun.
    begun = max(1.0, ongoing - waiting)
    return max(by_load, replicas * ongoing / begun)
