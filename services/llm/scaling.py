"""How many replicas the LLM service wants: Ray Serve's controller asks. By value: it need not find our modules."""

from __future__ import annotations

from typing import Any

# What a replica reports under (``ChatDeployment.record_autoscaling_stats``): tokens of prompts that its engine has.
WAITING, BEGUN = "prompt_tokens_waiting", "prompt_tokens_begun"


def policy(context: Any) -> tuple[float, dict[str, Any]]:
    """By what is under way, as Serve has it of its own accord, and by the prompts that wait for room in engines.

    An engine may be full with far fewer requests than it has slots, for its memory is measured in tokens; and so is
    what waits for it: one prompt is a question, another ten pictures.

    Args:
        context: Serve's ``AutoscalingContext``.
    """
    waiting, begun = (sum((context.aggregated_metrics or {}).get(name, {}).values()) for name in (WAITING, BEGUN))
    by_load = context.total_num_requests / context.config.get_target_ongoing_requests()
    return wanted(context.current_num_replicas, by_load, waiting, begun), {}


def wanted(replicas: int, by_load: float, waiting: float, begun: float) -> float:
    """Of ``replicas``, whose engines have begun with so many tokens of prompts, and have no room for those waiting;
    at least ``by_load``."""
    if waiting <= 0:
        return by_load
    # As many more as would have all of them begun.
    return max(by_load, replicas * (waiting + begun) / max(1.0, begun))
