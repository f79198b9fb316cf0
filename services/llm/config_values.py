"""Numbers of a language model's config that no model can be run with, and that transformers takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from services.common.checkpoint import Checkpoint
from services.common.shown import shown_name


def check_numbers(config: Any, source: Checkpoint) -> None:
    """Raises:
    SettingError: one is not finite, or makes what is not: an epsilon below 0, a base or a factor of positions of 0.
    """
    for path, value in _numbers(config.to_dict()):
        *outer, key = path
        rope = key == "rope_theta" or (any("rope" in name for name in outer) and key.endswith(("theta", "factor")))
        if not math.isfinite(value):
            wanted = "a finite number"
        elif key.endswith(("_eps", "epsilon")) and value < 0:
            wanted = "a number from 0 on"
        elif rope and key != "partial_rotary_factor" and value <= 0:
            wanted = "a number above 0"
        else:
            continue
        name = shown_name(".".join(["text_config", *path]))
        raise source.unusable(f"{name} of its config is {value!r}; expected {wanted}")


def _numbers(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Not those in lists: some kinds bound something by infinity there."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*path, str(key)))
        elif isinstance(value, float) or (type(value) is int and abs(value) < 1 << 63):
            yield (*path, str(key)), float(value)
