"""How many towers the encoder wants: Ray Serve's controller asks. By value: it need not find our modules."""

from __future__ import annotations

from typing import Any

# What a replica reports under (``VisionTowerDeployment.record_autoscaling_stats``).
PASSES = "tower_passes"


def policy(context: Any) -> tuple[float, dict[str, Any]]:
    """By the tiles that wait or are in a pass, in passes, and not by requests: one has a tile, another forty.

    Args:
        context: Serve's ``AutoscalingContext``; its target is passes a replica.
    """
    passes = sum((context.aggregated_metrics or {}).get(PASSES, {}).values())
    return passes / context.config.get_target_ongoing_requests(), {}
