"""How many towers are wanted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.serve.config import AutoscalingConfig

from services.common import deployment
from services.encoder import scaling
from services.encoder.settings import EncoderSettings


@pytest.mark.parametrize(
    ("passes", "target", "towers"),
    [
        ({}, 1, 0),
        ({"a": 0.5}, 1, 0.5),
        # Three requests of a large picture each.
        ({"a": 3.75}, 1, 3.75),
        ({"a": 1.0, "b": 2.0}, 1, 3),
        ({"a": 1.0, "b": 2.0}, 2, 1.5),
    ],
)
def test_towers_are_wanted_by_tiles_whatever_the_requests(passes: dict[str, float], target: float, towers: float):
    context = SimpleNamespace(
        config=AutoscalingConfig(target_ongoing_requests=target),
        current_num_replicas=2,
        total_num_requests=1000,
        aggregated_metrics={scaling.PASSES: passes} if passes else None,
    )
    assert scaling.policy(context) == (towers, {})


def test_serve_finds_the_policy_and_its_target():
    options = deployment.deploy(
        object, "VisionTower", EncoderSettings(), policy="services.encoder.scaling:policy", target=1
    )
    config = options._deployment_config.autoscaling_config
    assert config.policy.get_policy().__module__ == "services.encoder.scaling"
    assert config.target_ongoing_requests == 1
